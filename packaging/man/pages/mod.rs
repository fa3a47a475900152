//! The pages: svc(1) from the command line's own definition, svcd(8) from the flags, svc.unit(5) from the key rows.

mod page;
mod svc;
mod svcd;
mod unit;

/// File name and roff text of each page.
pub fn all() -> [(&'static str, String); 3] {
    [
        ("svc.1", svc::page()),
        ("svcd.8", svcd::page()),
        ("svc.unit.5", unit::page()),
    ]
}
