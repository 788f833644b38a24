//! One connection to the broker, that can be cut. The library keeps what it could not write and writes it
//! once the broker reads again, minutes after its sender has given up; so a connection that is given up
//! loses its socket at once. It never reconnects by itself.

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use socket2::{SockRef, Socket};
use tokio::time::timeout;

use super::address::Address;
use super::broken;
use crate::health::Way;
use crate::{Options, QueueError};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// The code of a broker that says goodbye because we did.
const SUCCESS: u16 = 200;
/// Codes of a broker that knows us and doesn't let us in: wrong password, no such virtual host.
const REFUSALS: [u16; 2] = [403, 530];

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    _cut: CutOnDrop,
}

impl Link {
    /// Connects once.
    ///
    /// # Errors
    /// A broker that doesn't answer, or doesn't let us in.
    pub(crate) async fn open(address: &Address, options: &Options, way: Way) -> Result<Self, QueueError> {
        let scissors = Scissors::default();
        let (blade, tls) = (scissors.clone(), tls(options));
        let name = format!("{} {}", options.name, way.as_str());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(|error| refused(address, &error))?;
        let connecting = Connection::connector(
            address.uri(),
            runtime,
            async move |uri: AMQPUri, runtime| {
                // The library's own way to connect, with a hand on the socket before TLS covers it.
                let place = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
                let stream = AsyncTcpStream::connect(&runtime, place).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    blade.hold(&SockRef::from(plain.get_ref()))?;
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?),
                }
            },
            properties,
        );
        // Cut unless it becomes a connection: the library would wait for a mute broker for ever.
        let cut = CutOnDrop(scissors);
        match timeout(options.connect_timeout, connecting).await {
            Ok(Ok(connection)) => Ok(Self { connection, _cut: cut }),
            Ok(Err(error)) => Err(refused(address, &error)),
            Err(_) => {
                let reason = format!("nothing within {:?}", options.connect_timeout);
                Err(QueueError::Unreachable { broker: address.to_string(), reason })
            }
        }
    }

    /// A channel.
    ///
    /// # Errors
    /// A connection that broke.
    pub(crate) async fn channel(&self) -> Result<Channel, QueueError> {
        self.connection.create_channel().await.map_err(|error| broken("opening a channel", &error))
    }

    /// The connection itself, for its state and its events.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Says goodbye, for a bounded time, and cuts.
    pub(crate) async fn close(self) {
        let goodbye = self.connection.close(SUCCESS, "closing".into());
        match timeout(FAREWELL, goodbye).await {
            Ok(Ok(())) => {}
            // The broker notices the cut as well.
            Ok(Err(error)) => tracing::debug!(error = %error, "the broker had gone before the goodbye"),
            Err(_) => tracing::debug!("the broker didn't answer the goodbye"),
        }
    }
}

/// Who may use the broker's certificate: what the system trusts, and a private authority.
fn tls(options: &Options) -> OwnedTLSConfig {
    OwnedTLSConfig { identity: None, cert_chain: options.authority.clone() }
}

/// Why a connection did not come about.
fn refused(address: &Address, error: &lapin::Error) -> QueueError {
    let (broker, reason) = (address.to_string(), error.to_string());
    match error.kind() {
        ErrorKind::ProtocolError(said) if REFUSALS.contains(&said.get_id()) => {
            QueueError::Refused { broker, reason: said.get_message().to_string() }
        }
        _ => QueueError::Unreachable { broker, reason },
    }
}

/// A second handle to the socket of a connection.
#[derive(Clone, Debug, Default)]
struct Scissors(Arc<Mutex<Socketed>>);

#[derive(Debug, Default)]
enum Socketed {
    #[default]
    NotYet,
    Connected(Socket),
    Cut,
}

impl Scissors {
    fn hold(&self, socket: &Socket) -> io::Result<()> {
        // Each publishing waits for its confirmation: the kernel has nothing to gather.
        socket.set_tcp_nodelay(true)?;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, Socketed::Cut) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *held = Socketed::Connected(socket.try_clone()?);
        Ok(())
    }

    fn cut(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socketed::Connected(socket) = std::mem::replace(&mut *held, Socketed::Cut) {
            // Fails where the other side was faster.
            if let Err(error) = socket.shutdown(Shutdown::Both) {
                tracing::trace!(error = %error, "the connection was gone already");
            }
        }
    }
}

#[derive(Debug)]
struct CutOnDrop(Scissors);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}
