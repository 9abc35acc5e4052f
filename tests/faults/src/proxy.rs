//! A TCP proxy with a fixed address to a service whose address changes. It cuts connections and flips bits
//! of states.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes before a state of 768 bytes in a chunk: field 3, length 768. Only states are corrupted,
/// because only they have a checksum.
const PAYLOAD_OF_768: [u8; 3] = [0x1a, 0x80, 0x06];

/// A proxy. Its threads end with the process.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    open: Mutex<Vec<[TcpStream; 2]>>,
    /// The number of corruptions still to be made.
    due: AtomicU32,
    made: AtomicU32,
}

impl Proxy {
    /// Starts a proxy without a target.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client without a target sees its connection close.
                let _ = serving.connect(client);
            }
        });
        Self { address, shared }
    }

    /// Returns the proxy's URI for the services' settings.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the target of new connections.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        *lock(&self.shared.target) = target;
    }

    /// Cuts all connections and returns their number.
    pub fn cut(&self) -> usize {
        let open = std::mem::take(&mut *lock(&self.shared.open));
        let alive = open.iter().filter(|ends| ends.iter().all(|end| end.peer_addr().is_ok()));
        let alive = alive.count();
        for end in open.iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
        alive
    }

    /// Flips a bit in each of the next `states` states.
    pub fn corrupt(&self, states: u32) {
        self.shared.due.fetch_add(states, Ordering::Relaxed);
    }

    /// Returns the number of states corrupted so far.
    pub fn corrupted(&self) -> u32 {
        self.shared.made.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let Some(target) = *lock(&self.target) else { return Ok(()) };
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut open = lock(&self.open);
        open.retain(|ends| ends.iter().all(|end| end.peer_addr().is_ok()));
        open.push([client.try_clone()?, server.try_clone()?]);
        drop(open);
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || up.pass_on(from_client, to_server, true));
        std::thread::spawn(move || down.pass_on(server, client, false));
        Ok(())
    }

    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, corrupts: bool) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            let bytes = &mut buffer[..length];
            if corrupts && self.due.load(Ordering::Relaxed) > 0 {
                self.flip(bytes);
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Flips one bit of a state that begins in `bytes`, if there is one.
    fn flip(&self, bytes: &mut [u8]) {
        let start = bytes.windows(4).position(|window| window[..3] == PAYLOAD_OF_768);
        let Some(start) = start else { return };
        let take = |due: u32| due.checked_sub(1);
        if self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            bytes[start + 3] ^= 0x10;
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
