//! Prefetch: asks the processor for a cache line without waiting for it.

/// Starts to load the cache line of `bytes[at]`. Does nothing when `at` lies outside, or on processors without a hint.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T], at: usize) {
    let Some(element) = slice.get(at) else { return };
    let pointer = core::ptr::from_ref(element).cast::<u8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of every x86_64; a prefetch has no effect that a program can observe, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(pointer.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: PRFM is a hint without architectural effect, whatever the address; it touches no memory and no flags.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = pointer;
}
