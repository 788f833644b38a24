//! A relay on the way to a provider, that loses what it is told to lose.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What becomes of a create on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The provider carries it out, and its reply is lost.
    Reply,
    /// The provider never sees it.
    Request,
}

/// A relay on the way to a provider.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    left: Arc<AtomicU32>,
}

impl Relay {
    /// A relay to `upstream` that loses the first `times` creates.
    #[must_use]
    pub fn start(upstream: SocketAddr, loss: Loss, times: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let left = Arc::new(AtomicU32::new(times));
        let losing = Arc::clone(&left);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let losing = Arc::clone(&losing);
                // A connection that breaks is what this is for.
                std::thread::spawn(move || relay(socket, upstream, loss, &losing));
            }
        });
        Self { address, left }
    }

    /// What a client is given.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Creates that are still to be lost.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::SeqCst)
    }
}

fn relay(mut client: TcpStream, upstream: SocketAddr, loss: Loss, left: &AtomicU32) -> io::Result<()> {
    let mut head = vec![0; 16];
    client.read_exact(&mut head)?;
    let lose = head.starts_with(b"POST /v1/batches")
        && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if lose && loss == Loss::Request {
        return client.shutdown(Shutdown::Both);
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&head)?;
    let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut up_from, &mut up_to);
        up_to.shutdown(Shutdown::Write)
    });
    if lose {
        // The reply is here: the provider has carried it out.
        server.set_read_timeout(Some(Duration::from_secs(10)))?;
        server.read_exact(&mut [0; 1])?;
        return client.shutdown(Shutdown::Both);
    }
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}
