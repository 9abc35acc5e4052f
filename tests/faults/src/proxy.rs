//! A TCP proxy with a fixed address of its own: what is behind it may move. It cuts connections, and
//! flips bits of states on their way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What comes before the bytes of a state of 768 bytes in a chunk: field 3, 768 bytes long. The rest of
/// a frame has no check of its own but TCP's, so only states are corrupted.
const PAYLOAD_OF_768: [u8; 3] = [0x1a, 0x80, 0x06];

/// The proxy. Its threads end with the process.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<SocketAddr>>,
    open: Mutex<Vec<[TcpStream; 2]>>,
    /// Corruptions that are still to be made.
    due: AtomicU32,
    made: AtomicU32,
}

impl Proxy {
    /// A proxy to nowhere yet.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Whoever cannot be served sees his connection end.
                let _ = serving.connect(client);
            }
        });
        Self { address, shared }
    }

    /// As the services' settings name it.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where new connections lead.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        *lock(&self.shared.target) = target;
    }

    /// Cuts all connections; how many there were.
    pub fn cut(&self) -> usize {
        let open = std::mem::take(&mut *lock(&self.shared.open));
        let alive = open.iter().filter(|ends| ends.iter().all(|end| end.peer_addr().is_ok()));
        let alive = alive.count();
        for end in open.iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
        alive
    }

    /// Flips a bit in each of the next states that pass, so many in all.
    pub fn corrupt(&self, states: u32) {
        self.shared.due.fetch_add(states, Ordering::Relaxed);
    }

    /// States corrupted so far.
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

    /// Flips one bit of one state in these bytes, if one begins there.
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
