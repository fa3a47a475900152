//! Layer group 6: little that wants to become much. It is refused or held by a cap, and nothing of it stays.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::layers::{refused, unpacked};
use super::layout::{FILE, HARDLINK, Tar, header};
use super::{Images, can_run};
use crate::machine::{skip, slowness};

const GIB: u64 = 1 << 30;

#[test]
fn group_6_bombs_are_refused() {
    if !can_run("group_6_bombs_are_refused", &[]) {
        return;
    }
    let images = Images::new();
    let deep = Tar::default().pax("path", &"a/".repeat(2000)).directory("x").end();
    refused(&images, &deep, &deep, "directories deep");
    let images = Images::new();
    let wide = Tar::default()
        .file(&"a".repeat(100), "")
        .pax("path", &"b".repeat(256))
        .file("x", "")
        .end();
    refused(&images, &wide, &wide, "too long");
    let images = Images::new();
    let huge = Tar::default()
        .pax("size", "9223372036854775000")
        .raw(&header(FILE, "a", "", 0, 0o644, 0), b"")
        .end();
    refused(&images, &huge, &huge, "has a file of 9223372036854775000 bytes");
}

/// 9 GiB of zeros in a few hundred kilobytes: a frame of 64 MiB is compressed once, and repeated.
#[test]
fn group_6_a_stream_of_zeros_is_cut_off_by_size() {
    if !can_run("group_6_a_stream_of_zeros_is_cut_off_by_size", &[]) {
        return;
    }
    let images = Images::new();
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("compress");
    let zeros = frame(&vec![0; 64 << 20]);
    let bomb = [frame(&header_of_zeros(9 << 30)), zeros.repeat((9 << 30) / (64 << 20))].concat();
    assert!(bomb.len() < 4 << 20, "it is small: {}", bomb.len());
    refused(
        &images,
        &bomb,
        b"never read to its end",
        "has a file of 9663676416 bytes",
    );
    assert!(images.untouched());
}

fn header_of_zeros(size: u64) -> Vec<u8> {
    Tar::default().raw(&header(FILE, "zeros", "", size, 0o644, 0), b"").0
}

/// What a whole number of seconds of a workstation would be hours of.
fn has_time(test: &str) -> bool {
    let has = slowness() == 1;
    if !has {
        skip(test, "an emulated processor would take an hour");
    }
    has
}

/// A gzip stream that begins with `first`; then each of the parts follows so often. A part is flushed by itself, so that
/// it can be repeated as it is.
fn gzip_of(parts: &[(&[u8], u64)]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for (plain, times) in parts {
        let mut deflate = Compress::new(Compression::best(), false);
        let mut packed = Vec::with_capacity(plain.len() / 500 + 4096);
        let status = deflate.compress_vec(plain, &mut packed, FlushCompress::Full);
        assert!(
            matches!(status, Ok(Status::Ok)) && deflate.total_in() == plain.len() as u64,
            "all of it is compressed"
        );
        (0..*times).for_each(|_| stream.extend(&packed));
    }
    stream
}

fn zstd_of(parts: &[(&[u8], u64)]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (plain, times) in parts {
        let packed = zstd::encode_all(*plain, 1).expect("compress");
        (0..*times).for_each(|_| stream.extend(&packed));
    }
    stream
}

#[test]
fn group_6_ten_gib_of_zeros_in_ten_mib_are_refused_by_their_header() {
    if !can_run("group_6_ten_gib_of_zeros_in_ten_mib_are_refused_by_their_header", &[]) {
        return;
    }
    let (header, zeros) = (header_of_zeros(10 * GIB), vec![0; 16 << 20]);
    let parts: [(&[u8], u64); 2] = [(&header, 1), (&zeros, 10 * GIB / (16 << 20))];
    for bomb in [gzip_of(&parts), zstd_of(&parts)] {
        assert!(bomb.len() < 12 << 20, "it is small: {}", bomb.len());
        let images = Images::new();
        refused(
            &images,
            &bomb,
            b"never read to its end",
            "has a file of 10737418240 bytes",
        );
        assert!(images.untouched());
    }
}

/// Each file is within the cap, and none of them is written: they are left out, as markers of aufs.
#[test]
fn group_6_zeros_of_many_files_are_cut_off_by_the_size_of_all() {
    let test = "group_6_zeros_of_many_files_are_cut_off_by_the_size_of_all";
    if !can_run(test, &[]) || !has_time(test) {
        return;
    }
    let left_out = Tar::default()
        .raw(&header(FILE, ".wh..wh.zeros", "", GIB, 0o644, 0), b"")
        .0;
    let zeros = vec![0; 64 << 20];
    let parts: Vec<(&[u8], u64)> = (0..10).flat_map(|_| [(&left_out[..], 1), (&zeros[..], 16)]).collect();
    let images = Images::new();
    refused(
        &images,
        &zstd_of(&parts),
        b"never read to its end",
        "is too large without compression",
    );
}

#[test]
fn group_6_a_million_entries_are_cut_off_by_their_number() {
    let test = "group_6_a_million_entries_are_cut_off_by_their_number";
    if !can_run(test, &[]) || !has_time(test) {
        return;
    }
    let hidden = Tar::default().file(".wh.nothing", "").0.repeat(1000);
    refused(
        &Images::new(),
        &zstd_of(&[(&hidden, 1000)]),
        b"never read to its end",
        "has more than 500000 entries",
    );
}

/// ext4 has an end of them at 65,000; the others have ours.
#[test]
fn group_6_a_file_of_six_hundred_thousand_names_is_refused() {
    let test = "group_6_a_file_of_six_hundred_thousand_names_is_refused";
    if !can_run(test, &[]) || !has_time(test) {
        return;
    }
    let mut to = zstd::Encoder::new(Vec::new(), 1).expect("compress");
    to.write_all(&Tar::default().file("file", "x").0).expect("compress");
    for nth in 0..600_000 {
        let link = header(HARDLINK, &format!("{nth}"), "file", 0, 0o644, 0);
        to.write_all(&Tar::default().raw(&link, b"").0).expect("compress");
    }
    let bomb = to.finish().expect("compress");
    refused(&Images::new(), &bomb, b"never read to its end", "");
}

#[test]
fn group_6_no_path_is_deeper_than_the_cap_however_it_is_written() {
    let test = "group_6_no_path_is_deeper_than_the_cap_however_it_is_written";
    if !can_run(test, &[]) {
        return;
    }
    let deep = Tar::default().pax("path", &"a/".repeat(100_000)).directory("x").end();
    refused(&Images::new(), &deep, &deep, "too long");
    // Half of the way is a link's.
    let half = "a/".repeat(200);
    let through = Tar::default()
        .pax("path", &half)
        .directory("x")
        .pax("linkpath", &half)
        .symlink("x", "link")
        .pax("path", &format!("link/{half}"))
        .directory("x")
        .end();
    refused(&Images::new(), &through, &through, "directories deep");
}

#[test]
fn group_6_names_of_255_bytes_are_taken() {
    if !can_run("group_6_names_of_255_bytes_are_taken", &[]) {
        return;
    }
    let name = "n".repeat(255);
    let path = format!("{name}/{name}");
    let tar = Tar::default().pax("path", &path).file("x", "text").end();
    let images = Images::new();
    assert!(unpacked(&images, &tar).join(path).is_file());
}

#[test]
fn group_6_sparse_files_of_eight_exbibytes_are_refused() {
    if !can_run("group_6_sparse_files_of_eight_exbibytes_are_refused", &[]) {
        return;
    }
    let mut old = header(b'S', "sparse", "", 0, 0o644, 0);
    old[257..265].copy_from_slice(b"ustar  \0");
    // The real size, in base 256; GNU tar's manual, "Old GNU Format".
    old[483..495].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    let old = Tar::default().raw(&old, b"").end();
    refused(&Images::new(), &old, &old, "");
    let pax = Tar::default()
        .pax_of(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "9223372036854775807"),
        ])
        .file("sparse", "0\n")
        .end();
    refused(&Images::new(), &pax, &pax, "a sparse file");
}

/// What is said of an entry is held in memory, which has a cap too.
#[test]
fn group_6_a_name_of_gigabytes_is_refused() {
    let test = "group_6_a_name_of_gigabytes_is_refused";
    if !can_run(test, &[]) || !has_time(test) {
        return;
    }
    for kind in [b'x', b'L'] {
        let long = Tar::default().raw(&header(kind, "long", "", 4 * GIB, 0o644, 0), b"").0;
        let zeros = vec![b'a'; 64 << 20];
        let bomb = zstd_of(&[(&long, 1), (&zeros, 64)]);
        refused(&Images::new(), &bomb, b"never read to its end", "");
    }
}
