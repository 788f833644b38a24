//! A cable to the broker that can be unplugged without either end hearing of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A cable.
pub struct Cable {
    pub address: SocketAddr,
    plugged: Arc<watch::Sender<u64>>,
    open: Arc<AtomicUsize>,
}

impl Cable {
    pub async fn to(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let plugged = Arc::new(watch::Sender::new(0));
        let open = Arc::new(AtomicUsize::new(0));
        let (every, count) = (plugged.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&broker).await.expect("the broker is there");
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                count.fetch_add(1, Ordering::SeqCst);
                let (plugged, count) = (every.subscribe(), count.clone());
                tokio::spawn(async move {
                    carry(near_in, far_out, plugged).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
                tokio::spawn(carry(far_in, near_out, every.subscribe()));
            }
        });
        Self { address, plugged, open }
    }

    /// Connections that our side has not let go.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// What runs through it now never arrives, and nobody is told. What connects later gets through.
    pub fn unplug(&self) {
        self.plugged.send_modify(|times| *times += 1);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut plugged: watch::Receiver<u64>) {
    let mut buffer = vec![0; 65_536];
    let through = async {
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = through => {}
        // Both ends stay open for as long as the test runs.
        _ = plugged.changed() => std::future::pending().await,
    }
}
