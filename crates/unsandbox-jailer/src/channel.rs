// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages with descriptors over SOCK_SEQPACKET sockets: one message, one packet.

use crate::codec::Wire;
use crate::message::MESSAGE_MAX;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

const FDS_MAX: usize = 8;
/// A message of few bytes is no longer than this.
const SHORT_MAX: usize = 64;

pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Sends one message; blocks while the other end is slow.
pub fn send(socket: BorrowedFd<'_>, message: &impl Wire, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_bytes(socket, &message.to_bytes(), fds)
}

/// As [`send`], but WouldBlock where the other end is too slow.
pub fn try_send(
    socket: BorrowedFd<'_>,
    message: &impl Wire,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_with(socket, &message.to_bytes(), fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

pub fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_with(socket, bytes, fds, SendFlags::NOSIGNAL)
}

fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    if bytes.len() > MESSAGE_MAX {
        return Err(Errno::MSGSIZE.into()); // the other end would receive a part of it only
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    loop {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for one message. `Ok(None)` at the end.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut buffer = Vec::new();
    let received = receive_into(socket, true, &mut buffer)?;
    Ok(received.map(|(len, fds)| {
        buffer.truncate(len);
        (buffer, fds)
    }))
}

/// As [`receive`], for a message of few bytes. A jail's init uses no buffer for the largest message, because its pages
/// would be copied, filled and charged to the run.
pub fn receive_short(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut buffer = [0; SHORT_MAX];
    let received = receive_with(socket, RecvFlags::empty(), &mut buffer)?;
    Ok(received.map(|(len, fds)| (buffer[..len].to_vec(), fds)))
}

/// One message and its descriptors. `Ok(None)` at the end; WouldBlock where none waits.
pub fn receive_into(
    socket: BorrowedFd<'_>,
    wait: bool,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    buffer.resize(MESSAGE_MAX, 0);
    let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    receive_with(socket, flags, buffer)
}

fn receive_with(
    socket: BorrowedFd<'_>,
    flags: RecvFlags,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let flags = RecvFlags::CMSG_CLOEXEC | flags;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags);
        match received {
            Ok(message) => {
                let mut fds = Vec::new();
                for part in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = part {
                        fds.extend(rights);
                    }
                }
                let ended = message.bytes == 0 && fds.is_empty();
                return Ok((!ended).then_some((message.bytes, fds)));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
