//! A cable to a service, that can be cut, or unplugged without either end hearing of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// A cable. What runs through it ends with it.
#[derive(Debug)]
pub struct Cable {
    /// Where clients find the service.
    pub address: SocketAddr,
    breaks: Arc<watch::Sender<Break>>,
    open: Arc<AtomicUsize>,
    _until: oneshot::Sender<()>,
}

/// What has become of the connections that ran through it.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// Both ends are closed, wherever the stream was.
    Cut,
    /// Nothing arrives any more, and nobody is told.
    Unplugged,
}

impl Cable {
    /// A cable to the service at `host`, which is an address and a port.
    ///
    /// # Panics
    /// Where there is no port left.
    #[must_use]
    pub fn to(host: String) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a listener of ours");
        let breaks = Arc::new(watch::Sender::new(Break::Cut));
        let open = Arc::new(AtomicUsize::new(0));
        let (until, ended) = oneshot::channel();
        let carrying = carry_all(listener, host, Arc::clone(&breaks), Arc::clone(&open));
        // A thread of its own: tests with and without a runtime use it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = carrying => {}
                    // Its owner has dropped it.
                    _ = ended => {}
                }
            });
        });
        Self { address, breaks, open, _until: until }
    }

    /// Connections that our side has not let go.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// What runs through it now breaks off. What connects later gets through.
    pub fn cut(&self) {
        self.breaks.send_replace(Break::Cut);
    }

    /// What runs through it now never arrives, and nobody is told. What connects later gets through.
    pub fn unplug(&self) {
        self.breaks.send_replace(Break::Unplugged);
    }
}

async fn carry_all(
    listener: std::net::TcpListener,
    host: String,
    breaks: Arc<watch::Sender<Break>>,
    open: Arc<AtomicUsize>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener of ours");
    while let Ok((near, _)) = listener.accept().await {
        // A service that is away takes nobody.
        let Ok(far) = TcpStream::connect(&host).await else { continue };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let (there, back) = (breaks.subscribe(), breaks.subscribe());
        open.fetch_add(1, Ordering::SeqCst);
        let open = Arc::clone(&open);
        tokio::spawn(async move {
            carry(near_in, far_out, there).await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
        tokio::spawn(carry(far_in, near_out, back));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut breaks: watch::Receiver<Break>) {
    let mut buffer = vec![0; 65_536];
    let through = async {
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = through => return,
        _ = breaks.changed() => {}
    }
    if matches!(*breaks.borrow(), Break::Unplugged) {
        // Both ends stay open for as long as the cable.
        std::future::pending::<()>().await;
    }
}
