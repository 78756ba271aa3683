//! Setup: the sizes of a ring, and why there may be none.
//!
//! Invariants
//! - Each `SetupError` is one line that says what is missing and how to mend it.

use std::fmt;
use std::io;

use crate::buffers::BUFFER_COUNT_MAX;

/// Sizes of a ring. All counts are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Submissions between two enters before a push has to submit: 8 to 8192.
    pub sq_entries: u32,
    /// Completions between two reaps: at least 8 per submission, else a burst overflows the queue; at most 65536.
    pub cq_entries: u32,
    /// Provided receive buffers: 8 to 32768.
    pub buffer_count: u16,
    /// Size of a provided buffer in bytes: 64 to 1 MiB.
    pub buffer_bytes: u32,
}

impl Default for Setup {
    /// 1024 submissions, 8192 completions, 1024 buffers of 4 KiB.
    fn default() -> Setup {
        Setup { sq_entries: 1024, cq_entries: 8192, buffer_count: 1024, buffer_bytes: 4096 }
    }
}

/// Completions per submission that the queues must have room for: a multishot receive completes many times.
const COMPLETIONS_PER_SUBMISSION: u32 = 8;

/// The kernel's limit; CLAMP would cut a larger queue without a word.
const CQ_ENTRIES_MAX: u32 = 1 << 16;

impl Setup {
    /// # Errors
    /// `SetupError::Size` for the first size that is out of its range.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let sq_entries_max = CQ_ENTRIES_MAX / COMPLETIONS_PER_SUBMISSION;
        check_size("sq_entries", self.sq_entries, 8, sq_entries_max, true)?;
        let cq_entries_min = self.sq_entries * COMPLETIONS_PER_SUBMISSION;
        check_size("cq_entries", self.cq_entries, cq_entries_min, CQ_ENTRIES_MAX, true)?;
        check_size("buffer_count", u32::from(self.buffer_count), 8, u32::from(BUFFER_COUNT_MAX), true)?;
        check_size("buffer_bytes", self.buffer_bytes, 64, 1 << 20, false)
    }
}

fn check_size(name: &'static str, value: u32, min: u32, max: u32, power_of_two: bool) -> Result<(), SetupError> {
    if (min..=max).contains(&value) && (!power_of_two || value.is_power_of_two()) {
        return Ok(());
    }
    Err(SetupError::Size { name, value, min, max, power_of_two })
}

/// Why there is no ring.
#[derive(Debug, PartialEq, Eq)]
pub enum SetupError {
    /// A size of `Setup` is out of its range.
    Size {
        /// The field.
        name: &'static str,
        /// What it is.
        value: u32,
        /// The least it may be.
        min: u32,
        /// The most it may be.
        max: u32,
        /// It must be a power of two, too.
        power_of_two: bool,
    },
    /// `kernel.io_uring_disabled` is 1 (unprivileged processes outside a group) or 2 (everybody).
    Disabled {
        /// The sysctl's value.
        level: u8,
    },
    /// EPERM or ENOSYS although the kernel allows io_uring: a seccomp profile forbids the system calls.
    Forbidden {
        /// The error number.
        errno: i32,
    },
    /// ENOMEM: the limit of locked memory is too low for the ring.
    LockedMemory,
    /// No file descriptor is left.
    Descriptors,
    /// The kernel lacks something that the ring cannot do without.
    KernelTooOld {
        /// What is missing.
        missing: &'static str,
    },
    /// The ring was made and does not do what it must.
    SelfTest {
        /// What was tried.
        step: &'static str,
        /// What happened.
        outcome: String,
    },
    /// Anything else.
    System {
        /// What was tried.
        doing: &'static str,
        /// The error number.
        errno: i32,
    },
}

impl SetupError {
    /// Why `doing` failed, at a system call that needs `feature`.
    pub(crate) fn from_io(doing: &'static str, feature: &'static str, error: &io::Error) -> SetupError {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        SetupError::from_errno(doing, feature, error.raw_os_error().unwrap_or(0), disabled.as_deref())
    }

    fn from_errno(doing: &'static str, feature: &'static str, errno: i32, disabled: Option<&str>) -> SetupError {
        match (errno, disabled.map(str::trim)) {
            (libc::EPERM, Some("1")) => SetupError::Disabled { level: 1 },
            (libc::EPERM, Some("2")) => SetupError::Disabled { level: 2 },
            (libc::EPERM | libc::EACCES | libc::ENOSYS, _) => SetupError::Forbidden { errno },
            (libc::ENOMEM, _) => SetupError::LockedMemory,
            (libc::EMFILE | libc::ENFILE, _) => SetupError::Descriptors,
            (libc::EINVAL, _) => SetupError::KernelTooOld { missing: feature },
            (errno, _) => SetupError::System { doing, errno },
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Size { name, value, min, max, power_of_two } => {
                let kind = if *power_of_two { "a power of two" } else { "a number" };
                write!(f, "ring size {name} = {value} is out of range: set it to {kind} from {min} to {max}")
            }
            SetupError::Disabled { level: 1 } => f.write_str(
                "io_uring is reserved for privileged processes (kernel.io_uring_disabled = 1): \
                 run `sysctl kernel.io_uring_disabled=0`, or add the user to the group kernel.io_uring_group",
            ),
            SetupError::Disabled { level } => write!(
                f,
                "io_uring is switched off (kernel.io_uring_disabled = {level}): run `sysctl kernel.io_uring_disabled=0`"
            ),
            SetupError::Forbidden { errno: libc::ENOSYS } => f.write_str(
                "the io_uring system calls are missing (ENOSYS): use Linux 6.1 or newer; in a container allow \
                 io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile",
            ),
            SetupError::Forbidden { .. } => f.write_str(
                "io_uring is not permitted (EPERM): in a container allow io_uring_setup, io_uring_enter and \
                 io_uring_register in the seccomp profile (docker: --security-opt seccomp=PROFILE)",
            ),
            SetupError::LockedMemory => f.write_str(
                "the limit of locked memory is too low for the ring (ENOMEM): raise RLIMIT_MEMLOCK \
                 (`ulimit -l unlimited`, systemd: LimitMEMLOCK=infinity), or use fewer or smaller ring entries",
            ),
            SetupError::Descriptors => f.write_str(
                "no file descriptor is left for the ring: raise RLIMIT_NOFILE (`ulimit -n`, systemd: LimitNOFILE=)",
            ),
            SetupError::KernelTooOld { missing } => {
                write!(f, "the kernel lacks {missing} for io_uring: use Linux 6.1 or newer")
            }
            SetupError::SelfTest { step, outcome } => {
                write!(f, "the ring's self-test failed at {step} ({outcome}): use another kernel, Linux 6.1 or newer")
            }
            SetupError::System { doing, errno } => {
                write!(f, "{doing} failed: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(Setup::default().check(), Ok(()));
    }

    #[test]
    fn sizes_out_of_range_are_named() {
        let good = Setup::default();
        let cases = [
            (Setup { sq_entries: 1000, ..good }, "sq_entries"),
            (Setup { sq_entries: 0, ..good }, "sq_entries"),
            (Setup { cq_entries: 4096, ..good }, "cq_entries"),
            (Setup { buffer_count: 4, ..good }, "buffer_count"),
            (Setup { buffer_count: 1000, ..good }, "buffer_count"),
            (Setup { buffer_bytes: 63, ..good }, "buffer_bytes"),
            (Setup { buffer_bytes: u32::MAX, ..good }, "buffer_bytes"),
        ];
        for (setup, field) in cases {
            let text = setup.check().unwrap_err().to_string();
            assert!(text.contains(field) && text.contains("set it to"), "{text}");
        }
    }

    #[test]
    fn each_error_says_in_one_line_how_to_mend_it() {
        let cases = [
            (libc::EPERM, Some("1\n"), "kernel.io_uring_group"),
            (libc::EPERM, Some("2\n"), "sysctl kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("0\n"), "seccomp"),
            (libc::EPERM, None, "seccomp"),
            (libc::ENOSYS, None, "seccomp"),
            (libc::ENOMEM, Some("0\n"), "RLIMIT_MEMLOCK"),
            (libc::EMFILE, Some("0\n"), "RLIMIT_NOFILE"),
            (libc::EINVAL, Some("0\n"), "lacks the feature for io_uring: use Linux 6.1"),
            (libc::EIO, Some("0\n"), "the step failed"),
        ];
        for (errno, disabled, remedy) in cases {
            let text = SetupError::from_errno("the step", "the feature", errno, disabled).to_string();
            assert!(text.contains(remedy), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
