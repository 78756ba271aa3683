//! What the core runs on.

use super::Refusal;
use super::kind::Kind;

/// What the core runs on; only what this binary was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Our own io_uring loop.
    Uring,
    /// glommio's executor.
    #[cfg(feature = "glommio")]
    Glommio,
}

/// `uring` or `glommio`.
pub(super) struct RuntimeName;

impl Kind for RuntimeName {
    type Value = Runtime;

    fn parse(&self, text: &str) -> Result<Runtime, Refusal> {
        match text.to_ascii_lowercase().as_str() {
            "uring" => Ok(Runtime::Uring),
            #[cfg(feature = "glommio")]
            "glommio" => Ok(Runtime::Glommio),
            #[cfg(not(feature = "glommio"))]
            "glommio" => Err(Refusal::new(
                "this binary was built without glommio",
                "build it with cargo build --release --features glommio",
            )),
            _ => Err(Refusal::new("argument(s) must be one of the following: uring, glommio", "")),
        }
    }

    fn show(&self, value: &Runtime) -> String {
        match value {
            Runtime::Uring => "uring".into(),
            #[cfg(feature = "glommio")]
            Runtime::Glommio => "glommio".into(),
        }
    }

    fn shape(&self) -> &'static str {
        "uring|glommio"
    }

    fn example(&self) -> String {
        if cfg!(feature = "glommio") { "glommio".into() } else { "uring".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_knows_the_runtimes_it_was_built_with() {
        let shown = |text| RuntimeName.parse(text).map(|value| RuntimeName.show(&value));
        assert_eq!(shown("URING").as_deref(), Ok("uring"));
        match cfg!(feature = "glommio") {
            true => assert_eq!(shown("glommio").as_deref(), Ok("glommio")),
            false => assert!(shown("glommio").unwrap_err().mend.contains("--features glommio")),
        }
        assert!(shown("tokio").is_err());
    }
}
