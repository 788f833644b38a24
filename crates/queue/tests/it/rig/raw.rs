//! A sender that keeps to no rules: it writes frames by hand, since no library would write these.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Publishes a message whose id is no text, and waits until the broker has it.
pub async fn publish_unreadable_id(host: &str, exchange: &str) {
    let mut broker = TcpStream::connect(host).await.expect("the broker is there");
    broker.write_all(b"AMQP\x00\x00\x09\x01").await.expect("written");
    expect(&mut broker, [10, 10]).await;
    let login = [&[0; 4][..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")].concat();
    method(&mut broker, 0, [10, 11], &login).await;
    expect(&mut broker, [10, 30]).await;
    method(&mut broker, 0, [10, 31], &[0, 10, 0, 2, 0, 0, 0, 0]).await;
    method(&mut broker, 0, [10, 40], b"\x01/\x00\x00").await;
    expect(&mut broker, [10, 41]).await;
    method(&mut broker, 1, [20, 10], b"\x00").await;
    expect(&mut broker, [20, 11]).await;

    let place = [&[0, 0][..], &short(exchange.as_bytes()), &short(b""), &[0]].concat();
    method(&mut broker, 1, [60, 40], &place).await;
    let body = b"hello";
    let only_an_id = 0x0080_u16.to_be_bytes();
    let header = [&[0, 60, 0, 0][..], &5_u64.to_be_bytes(), &only_an_id, &short(&[0xff, 0xfe])].concat();
    frame(&mut broker, 2, 1, &header).await;
    frame(&mut broker, 3, 1, body).await;
    // The answer to a close comes when all before it is done.
    method(&mut broker, 1, [20, 40], b"\x00\xc8\x00\x00\x00\x00\x00").await;
    expect(&mut broker, [20, 41]).await;
}

async fn method(broker: &mut TcpStream, channel: u16, [class, method]: [u16; 2], arguments: &[u8]) {
    let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
    frame(broker, 1, channel, &payload).await;
}

async fn frame(broker: &mut TcpStream, kind: u8, channel: u16, payload: &[u8]) {
    let size = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let frame = [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xce]].concat();
    broker.write_all(&frame).await.expect("written");
}

/// Reads frames until this method.
async fn expect(broker: &mut TcpStream, method: [u16; 2]) {
    loop {
        let mut head = [0; 7];
        broker.read_exact(&mut head).await.expect("a frame");
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(size).expect("small") + 1];
        broker.read_exact(&mut payload).await.expect("a frame");
        let found =
            [u16::from_be_bytes([payload[0], payload[1]]), u16::from_be_bytes([payload[2], payload[3]])];
        if head[0] == 1 && found == method {
            return;
        }
        assert_ne!(found[1], 50, "the broker hung up: {}", String::from_utf8_lossy(&payload));
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")][..], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).expect("short").to_be_bytes()[..], text].concat()
}
