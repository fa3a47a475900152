//! What can be typed behind `svc image`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::image::Name;
use crate::image::document::Platform;
use crate::unit::Size;

// What to do with images, and where they are. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Image {
    /// Where the supervisor keeps its state; images are below it [default: $SVC_STATE_DIR, or /var/lib/svc]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

// What to do with images. No rustdoc, as above.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Action {
    /// A line for each image that is stored
    #[command(visible_alias = "ls")]
    List,
    /// Take images in from an OCI layout or from what `docker save` wrote
    Load(Load),
    /// Write images as an OCI layout, or as `docker load` reads them
    Save(Save),
    /// Fetch an image from its registry
    #[cfg(feature = "registry")]
    Pull(Pull),
    /// Send an image to a registry
    #[cfg(feature = "registry")]
    Push {
        /// Its name or id here
        image: String,
        /// Its name there [default: the same]
        name: Option<Name>,
        /// No line for each blob
        #[arg(short, long)]
        quiet: bool,
    },
    /// Make an image of a directory: one layer on top of a base, or on nothing
    Commit(Commit),
    /// Give an image another name
    Tag {
        /// Its name or id
        image: String,
        /// The new name
        name: Name,
    },
    /// Take names away, and what nobody names any more with them
    Rm {
        /// Names; an id takes all names of that image away
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// All that is known of images, as JSON with the names that Docker has
    Inspect {
        /// Names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// How an image was made, the newest step first
    History {
        /// Its name or id
        image: String,
    },
    /// Take away what no name leads to and, to hold a budget, what was not used for the longest time
    Gc(Gc),
}

// What to take away. No rustdoc: it would be the help text of the verb.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct Gc {
    /// Only say what would go
    #[arg(long)]
    pub plan: bool,
    /// What all images may take on the disk, such as 10G; those that units run, ran last or ran well before, and those of generations, stay
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub budget: Option<Size>,
    /// An image that stays too, by name or id; repeatable
    #[arg(long, value_name = "IMAGE", requires = "budget")]
    pub keep: Vec<String>,
}

fn size(text: &str) -> Result<Size, String> {
    Size::parse(text).map_err(String::from)
}

/// What to take in.
#[derive(Debug, Args)]
pub struct Load {
    /// An archive, also compressed by gzip or zstd, or a directory [default: standard input]
    #[arg(short, long, value_name = "FILE|DIR")]
    pub input: Option<PathBuf>,
    /// Its name here, where it is one image
    #[arg(long)]
    pub name: Option<Name>,
    /// Which of an image for many machines [default: the one for this machine]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// What to fetch.
#[cfg(feature = "registry")]
#[derive(Debug, Args)]
pub struct Pull {
    /// HOST/NAME, with a :TAG or for ever the same @sha256:DIGEST
    pub name: Name,
    /// Which of an image for many machines [default: the one for this machine]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// No line for each blob
    #[arg(short, long)]
    pub quiet: bool,
}

/// What to make.
#[derive(Debug, Args)]
pub struct Commit {
    /// The image that the directory is a change of [default: none, the directory is all]
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
    /// What was done, for `image history`
    #[arg(short, long, default_value = "")]
    pub message: String,
    /// The command that is run by default, as JSON: '["/bin/sh"]'
    #[arg(long, value_name = "JSON", value_parser = command)]
    pub cmd: Option<serde_json::Value>,
    /// The upper directory of an overlay, with its whiteouts, or any tree
    #[arg(value_name = "DIR")]
    pub change: PathBuf,
    /// The new image's name
    pub name: Name,
}

fn command(text: &str) -> Result<serde_json::Value, String> {
    let words: Vec<String> = serde_json::from_str(text).map_err(|_| "write a list: '[\"/bin/sh\"]'".to_owned())?;
    Ok(words.into())
}

/// What to write.
#[derive(Debug, Args)]
pub struct Save {
    /// Where to; NAME.tar.gz and NAME.tar.zst are compressed, NAME/ is a directory [default: standard output]
    #[arg(short, long, value_name = "FILE|DIR/")]
    pub output: Option<PathBuf>,
    /// In which form
    #[arg(long, value_enum, default_value_t = Form::Oci)]
    pub format: Form,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}

/// What an archive is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// An OCI image layout
    Oci,
    /// What every `docker load` reads
    Docker,
}

impl From<Form> for crate::image::archive::Form {
    fn from(form: Form) -> Self {
        match form {
            Form::Oci => Self::Oci,
            Form::Docker => Self::Docker,
        }
    }
}
