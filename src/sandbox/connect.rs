//! A probe without a program: connects from where the service is, asks if it is to ask, and says what it heard. It is a
//! child of svcd's that enters the service's network alone, where nobody of the service can reach it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;

use super::Context;
use super::join::NEWNET;
use super::setup::{Setup, Step, namespaces, process_steps, streams};
use crate::unit::Target;

/// An answer's first line is not longer than this.
const LINE_BYTES_MAX: usize = 256;

/// The order of a probe.
pub fn probe<'a>(context: &Context<'a>, target: Target, holder: Option<BorrowedFd<'a>>) -> Setup<'a> {
    let mut steps = vec![Step::JoinCgroups(context.join_files.to_vec()), Step::Session];
    let network = namespaces(context.sandbox) & NEWNET;
    steps.extend(holder.map(|holder| Step::Enter(holder, network)));
    steps.push(Step::Streams(streams(context)));
    process_steps(context, &mut steps);
    steps.push(Step::Connect(target));
    Setup {
        namespaces: 0,
        into: None,
        steps,
    }
}

/// Says what came of it; true: it is well.
pub(super) fn connect(target: &Target) -> bool {
    let (well, said) = match ask(target) {
        Ok((well, said)) => (well, said),
        Err(error) => (false, error.to_string()),
    };
    let _ = writeln!(io::stdout(), "{}: {said}", target.address);
    well
}

fn ask(target: &Target) -> io::Result<(bool, String)> {
    let mut stream = TcpStream::connect(target.address)?;
    let Some((path, host)) = &target.http else {
        return Ok((true, "connected".to_owned()));
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: svc\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX as u64)).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    // RFC 9112, section 4: HTTP/1.1 200 OK.
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1));
    let well = status.is_some_and(|status| status.len() == 3 && status.starts_with('2'));
    let said: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok((well, said))
}
