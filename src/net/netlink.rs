//! netlink(7): messages of the kernel's own form, and a socket that sends them and waits for their answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::SndBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};

/// `struct nlmsghdr` of linux/netlink.h.
const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;
/// An answer is not longer: the kernel fills at most this into one; netlink(7) has 8192 or a page, links with statistics more.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Less than what any socket may send at once: net.core.wmem_default is 212992 unless somebody made it less.
const SEND_BYTES_ALWAYS: usize = 16 * 1024;
const NESTED: u16 = libc::NLA_F_NESTED as u16;
/// The two highest bits of an attribute's type are flags.
const TYPE_MASK: u16 = !(0b11 << 14);

/// Wants to be told that it was done.
pub const ACK: u16 = libc::NLM_F_ACK as u16;
/// Makes what is not there.
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// Fails with EEXIST where it is there.
pub const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// Takes the place of what is there.
pub const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
/// All of a kind.
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// Behind the others; the same bit as APPEND.
pub const APPEND: u16 = libc::NLM_F_APPEND as u16;

/// A message under way: a header of the family's, then attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// `kind` and `flags` of nlmsghdr, and the family's own fixed header.
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        let mut message = Self { bytes };
        message.fixed(header);
        message
    }

    /// Something without a header of an attribute, such as the header of a link in a link.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.align();
    }

    /// An attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest_as(kind, |message| message.bytes.extend(value));
    }

    /// A name, with the NUL that the kernel expects behind it.
    pub fn name(&mut self, kind: u16, name: &str) {
        self.nest_as(kind, |message| {
            message.bytes.extend(name.as_bytes());
            message.bytes.push(0);
        });
    }

    /// A number in the machine's order.
    pub fn number(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_ne_bytes());
    }

    /// A number in the network's order.
    pub fn number_be(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_be_bytes());
    }

    /// An attribute of attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.nest_as(kind | NESTED, fill);
    }

    fn nest_as(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.write(start, &length.to_ne_bytes());
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// With one more of the flags.
    pub fn want(&mut self, flag: u16) {
        let flags = self.flags() | flag;
        self.write(6, &flags.to_ne_bytes());
    }

    fn flags(&self) -> u16 {
        let bytes = self.bytes.get(6..8).and_then(|bytes| bytes.try_into().ok());
        u16::from_ne_bytes(bytes.unwrap_or_default())
    }

    /// With its length and number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.write(0, &length.to_ne_bytes());
        self.write(8, &sequence.to_ne_bytes());
        self.bytes
    }
}

/// A socket of one of the kernel's families. What it does blocks: no thread of svcd's own does it. What somebody asked who
/// had it before, and ended before the answer, is no answer here.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// For links, addresses and routes of the network namespace that the caller is in; rtnetlink(7).
    ///
    /// # Errors
    /// As socket(2).
    pub fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For nf_tables.
    ///
    /// # Errors
    /// As socket(2): EPROTONOSUPPORT where the kernel has no netfilter.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    /// The same socket with numbers of its own for what it asks, so that the answers are told apart.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn share(&self, from: u32) -> io::Result<Self> {
        let fd = self.fd.try_clone()?;
        Ok(Self { fd, sequence: from })
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one and waits until it is done.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn request(&mut self, mut message: Message) -> io::Result<()> {
        message.want(ACK);
        self.all([message])
    }

    /// Sends several as one, in their order, and waits until all that want an answer have it: the first that is wrong is
    /// what is wrong.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn all(&mut self, messages: impl IntoIterator<Item = Message>) -> io::Result<()> {
        self.each(messages).map_err(|(_, error)| error)
    }

    /// As [`Socket::all`].
    ///
    /// # Errors
    /// What the kernel answers, with the place of the message that it is about.
    pub fn each(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), (usize, io::Error)> {
        let mut bytes = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let mut last = self.sequence;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            if message.flags() & ACK != 0 {
                last = self.sequence;
            }
            bytes.extend(message.finish(self.sequence));
        }
        let sent = self.sequence.wrapping_sub(first);
        self.send(&bytes).map_err(|error| (0, error))?;
        loop {
            for answer in self.receive().map_err(|error| (0, error))?.answers() {
                let at = answer.sequence.wrapping_sub(first);
                if at > sent {
                    continue;
                }
                if let Some(error) = answer.error() {
                    return Err((at as usize, error));
                }
                if answer.kind == libc::NLMSG_ERROR as u16 && answer.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Asks for all of a kind ([`DUMP`]) or for one thing ([`ACK`]), and gives each to `see`: its kind, and what is behind
    /// nlmsghdr.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn ask(&mut self, message: Message, mut see: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&message.finish(self.sequence))?;
        loop {
            for answer in self.receive()?.answers() {
                if answer.sequence != self.sequence {
                    continue;
                }
                if let Some(error) = answer.error() {
                    return Err(error);
                }
                if answer.ends() {
                    return Ok(());
                }
                see(answer.kind, answer.body);
            }
        }
    }

    /// What is longer than the socket's buffer is refused, EMSGSIZE; socket(7).
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > SEND_BYTES_ALWAYS {
            // Where it is not allowed, send says what there was no room for.
            let _ = setsockopt(&self.fd, SndBufForce, &bytes.len());
        }
        again(|| send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()))?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Received> {
        let mut bytes = vec![0; ANSWER_BYTES_MAX];
        let mut receive = |flags| again(|| recv(self.fd.as_raw_fd(), &mut bytes, flags));
        let length = match receive(MsgFlags::empty()) {
            // There were more errors than it has room for; netlink(7). The first are there, and the first is what counts.
            Err(Errno::ENOBUFS) => receive(MsgFlags::MSG_DONTWAIT).map_err(|_| Errno::ENOBUFS),
            received => received,
        }?;
        bytes.truncate(length);
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Received(bytes))
    }
}

fn again(mut call: impl FnMut() -> nix::Result<usize>) -> nix::Result<usize> {
    loop {
        let done = call();
        if done != Err(Errno::EINTR) {
            return done;
        }
    }
}

struct Received(Vec<u8>);

struct Answer<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Received {
    fn answers(&self) -> impl Iterator<Item = Answer<'_>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let length = number(rest, 0)? as usize;
            let answer = Answer {
                kind: number(rest, 4)? as u16,
                sequence: number(rest, 8)?,
                body: rest.get(HEADER_BYTES..length)?,
            };
            rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            Some(answer)
        })
    }
}

impl Answer<'_> {
    /// `struct nlmsgerr`: zero, or an errno made negative.
    fn error(&self) -> Option<io::Error> {
        let errno = number(self.body, 0).filter(|_| self.ends())?.cast_signed();
        (errno < 0).then(|| io::Error::from_raw_os_error(-errno))
    }

    /// What was asked is answered with it.
    fn ends(&self) -> bool {
        [libc::NLMSG_ERROR as u16, libc::NLMSG_DONE as u16].contains(&self.kind)
    }
}

/// The 32 bits at a place.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The attributes in what is behind a family's fixed header: type and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = number(bytes, 0)?.to_ne_bytes();
        let [low, high, kind @ ..] = head;
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((u16::from_ne_bytes(kind) & TYPE_MASK, value))
    })
}

/// An attribute's value as a name.
pub fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read() {
        let mut message = Message::new(16, CREATE, &[7; 16]);
        message.name(3, "svc0");
        message.nest(18, |message| message.number(1, 0x0102_0304));
        let bytes = message.finish(5);
        assert_eq!(bytes.len() % 4, 0);
        let received = Received(bytes);
        let answers: Vec<Answer<'_>> = received.answers().collect();
        assert_eq!((answers.len(), answers[0].kind, answers[0].sequence), (1, 16, 5));
        let found: Vec<(u16, &[u8])> = attributes(&answers[0].body[16..]).collect();
        assert_eq!((found[0].0, text(found[0].1).as_str()), (3, "svc0"));
        let inner: Vec<(u16, &[u8])> = attributes(found[1].1).collect();
        assert_eq!((found[1].0, inner), (18, vec![(1, &0x0102_0304_u32.to_ne_bytes()[..])]));
    }

    /// Whoever asked it may have been killed before it came.
    #[test]
    fn an_answer_to_somebody_else_is_none() {
        let asks = |index: u32| {
            let mut header = [0; 16];
            header[4..8].copy_from_slice(&index.to_ne_bytes());
            Message::new(libc::RTM_GETLINK, ACK, &header)
        };
        let mut socket = Socket::route().unwrap();
        let gone = socket.share(1 << 20).unwrap();
        gone.send(&asks(u32::MAX >> 1).finish((1 << 20) + 1)).unwrap();
        socket.request(asks(1)).unwrap();
        assert_eq!(
            socket.request(asks(u32::MAX >> 1)).unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
    }

    /// The kernel's, but a descriptor may be anything after all.
    #[test]
    fn what_is_cut_ends() {
        let mut message = Message::new(16, 0, &[7; 16]);
        message.name(3, "svc0");
        let bytes = message.finish(5);
        for length in 0..bytes.len() {
            assert_eq!(Received(bytes[..length].to_vec()).answers().count(), 0);
            // What fills the last word up is not missed.
            let whole = usize::from(length >= 32 + 9);
            assert_eq!(attributes(&bytes[32..][..length.saturating_sub(32)]).count(), whole);
        }
        assert!(attributes(&[0; 64]).next().is_none());
    }
}
