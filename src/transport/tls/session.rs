//! TLS on a worker: the same calls as on a plain socket, none of which waits.
//!
//! Plain text never stays in here: what one read of the socket decrypts to is handed on with it. Encrypted bytes that the
//! kernel does not take yet do, up to a bound; as long as there are any, the socket counts as blocked.

use crate::transport::stream::{Read, receive, send_now};
use rustls::ServerConnection;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write};
use tokio::net::TcpStream;

/// Encrypted bytes that may wait for the kernel.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the worker's buffer into which the socket is read; the rest is for what they decrypt to, together with one
/// record that came in part before.
const CIPHERTEXT_BYTES: usize = 22 * 1024;

/// Largest TLS record: 16 KiB, and what encryption may add.
const RECORD_BYTES_MAX: usize = 16 * 1024 + 2_048 + 5;

/// A connection behind TLS.
#[derive(Debug)]
pub(in crate::transport) struct TlsSocket {
    pub(in crate::transport) tcp: TcpStream,
    session: ServerConnection,
    /// The other side has said goodbye, or is not to be understood.
    ended: bool,
    /// The kernel has taken something since this was last asked.
    moved: bool,
}

impl TlsSocket {
    /// Goes on with a session whose handshake is over.
    pub(in crate::transport) fn new(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Self { tcp, session, ended: false, moved: false }
    }

    /// Whether reading is worth while although the kernel has nothing.
    pub(in crate::transport) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Reads the socket once; what it decrypts to stands at the beginning of `scratch` then.
    pub(in crate::transport) fn read(&mut self, scratch: &mut [u8]) -> Read {
        if self.ended {
            return Read::Ended;
        }
        let space = scratch.len() - CIPHERTEXT_BYTES;
        debug_assert!(space >= CIPHERTEXT_BYTES + RECORD_BYTES_MAX, "what was read fits in");
        let (plain, cipher) = scratch.split_at_mut(space);
        let read = receive(&self.tcp, cipher);
        let (Read::Drained(came) | Read::More(came)) = read else { return Read::Ended };
        let taken = match self.decrypt(&cipher[..came], plain) {
            Ok(taken) => taken,
            Err(error) => {
                tracing::debug!(%error, "a TLS session ended badly");
                // The alert that says why: nobody waits for it to be taken.
                let _unsent = self.flush();
                return Read::Ended;
            }
        };
        match read {
            // Whoever said goodbye behind it is to be looked at again, without the kernel's word.
            _ if self.ended => Read::More(taken),
            Read::Drained(_) => Read::Drained(taken),
            Read::More(_) | Read::Ended => Read::More(taken),
        }
    }

    fn decrypt(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while !cipher.is_empty() && !self.ended {
            if self.session.read_tls(&mut cipher)? == 0 {
                return Err(ErrorKind::InvalidData.into());
            }
            let state = self.session.process_new_packets().map_err(io::Error::other)?;
            taken += self.drain(&mut plain[taken..])?;
            self.ended = state.peer_has_closed();
        }
        Ok(taken)
    }

    /// Takes what is decrypted already.
    pub(in crate::transport) fn drain(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < plain.len() {
            match self.session.reader().read(&mut plain[taken..]) {
                Ok(0) => break,
                Ok(n) => taken += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Encrypts and writes, until all is taken or the kernel takes no more. Returns how much was taken; the last of it
    /// may still be [unsent](Self::has_unsent).
    pub(in crate::transport) fn write(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush()? && !slices.is_empty() {
            let n = self.session.writer().write_vectored(slices)?;
            if n == 0 {
                break;
            }
            taken += n;
            IoSlice::advance_slices(&mut slices, n);
        }
        Ok(taken)
    }

    /// Writes a few bytes at once, on a socket that may be new. False when the kernel does not take all of them.
    pub(in crate::transport) fn write_now(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.session.writer().write_all(bytes)?;
        while self.session.wants_write() {
            self.session.write_tls(&mut NewKernel(&self.tcp))?;
        }
        Ok(true)
    }

    /// Writes what is encrypted already. Returns whether the kernel has taken all of it.
    pub(in crate::transport) fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Kernel(&self.tcp)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => self.moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether encrypted bytes wait for the kernel.
    pub(in crate::transport) fn has_unsent(&self) -> bool {
        self.session.wants_write()
    }

    /// Whether the kernel has taken something since this was last asked.
    pub(in crate::transport) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Says that nothing more comes.
    pub(in crate::transport) fn say_goodbye(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.flush().map(drop)
    }
}

/// A socket that may be new, as something to write to.
struct NewKernel<'a>(&'a TcpStream);

impl Write for NewKernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The socket, as something to write to.
struct Kernel<'a>(&'a TcpStream);

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
