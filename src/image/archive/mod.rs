//! Images in files: OCI layouts, as a directory or a tar archive, and what `docker save` writes.
//!
//! [`source`] opens members by name, whichever the container; [`load`] takes them in, [`save`] writes them.

mod load;
mod save;
mod source;

pub use load::{Loaded, load};
pub use save::{Form, gzip, save, save_to_directory, zstd};
pub use source::Source;
