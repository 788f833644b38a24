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
    open: Counts,
    _until: oneshot::Sender<()>,
}

/// How many connections there are.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Those that our side has not let go.
    kept: Arc<AtomicUsize>,
    /// Those of them that something still arrives through.
    running: Arc<AtomicUsize>,
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
        let open = Counts::default();
        let (until, ended) = oneshot::channel();
        let carrying = carry_all(listener, host, Arc::clone(&breaks), open.clone());
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
        self.open.kept.load(Ordering::SeqCst)
    }

    /// Those of them that something still arrives through.
    #[must_use]
    pub fn running(&self) -> usize {
        self.open.running.load(Ordering::SeqCst)
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
    open: Counts,
) {
    let listener = TcpListener::from_std(listener).expect("a listener of ours");
    while let Ok((near, _)) = listener.accept().await {
        // A service that is away takes nobody.
        let Ok(far) = TcpStream::connect(&host).await else { continue };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let (there, back) = (breaks.subscribe(), breaks.subscribe());
        open.kept.fetch_add(1, Ordering::SeqCst);
        open.running.fetch_add(1, Ordering::SeqCst);
        let open = open.clone();
        tokio::spawn(async move {
            let (mut near_in, mut far_out) = (near_in, far_out);
            let end = carry(&mut near_in, &mut far_out, there).await;
            open.running.fetch_sub(1, Ordering::SeqCst);
            stay_open(end).await;
            open.kept.fetch_sub(1, Ordering::SeqCst);
        });
        tokio::spawn(async move {
            let (mut far_in, mut near_out) = (far_in, near_out);
            stay_open(carry(&mut far_in, &mut near_out, back).await).await;
        });
    }
}

/// Carries what comes until one of the ends closes, or the cable breaks, which it answers.
async fn carry(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut breaks: watch::Receiver<Break>,
) -> Option<Break> {
    let mut buffer = vec![0; 65_536];
    let through = async {
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = through => None,
        _ = breaks.changed() => Some(*breaks.borrow()),
    }
}

/// Of a cable that is unplugged both ends stay open for as long as there is the cable.
async fn stay_open(end: Option<Break>) {
    if let Some(Break::Unplugged) = end {
        std::future::pending::<()>().await;
    }
}
