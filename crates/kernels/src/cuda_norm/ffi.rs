//! The foreign functions of `cpp/cuda/`: NVRTC and the CUDA driver.

#![allow(unsafe_code)]

use crate::ffi::take_message;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

/// A library of NVRTC that stays open.
#[repr(C)]
struct DdpoNvrtc {
    _opaque: [u8; 0],
}

/// `DdpoSource` of `cpp/cuda/nvrtc.cpp`.
#[repr(C)]
struct DdpoSource {
    name: *const c_char,
    source: *const c_char,
    header_name: *const c_char,
    header: *const c_char,
    options: *const *const c_char,
    option_count: c_int,
}

unsafe extern "C" {
    fn ddpo_libtorch_path() -> *mut c_char;

    fn ddpo_cuda_capability(device: c_int, major: *mut c_int, minor: *mut c_int) -> *mut c_char;

    fn ddpo_cuda_norm_load(device: c_int, element: c_int, image: *const c_void) -> *mut c_char;

    fn ddpo_nvrtc_open(
        path: *const c_char,
        out: *mut *const DdpoNvrtc,
        major: *mut c_int,
        minor: *mut c_int,
    ) -> *mut c_char;

    fn ddpo_nvrtc_architectures(nvrtc: *const DdpoNvrtc, out: *mut c_int, most: c_int) -> c_int;

    fn ddpo_nvrtc_compile(
        nvrtc: *const DdpoNvrtc,
        source: *const DdpoSource,
        is_ptx: bool,
        image: *mut *mut c_char,
        size: *mut usize,
        log: *mut *mut c_char,
    ) -> *mut c_char;
}

/// Returns the path of the loaded libc10.
pub(super) fn libtorch_path() -> Option<String> {
    // SAFETY: the call takes nothing, and returns null or a string made by `strdup` for this caller.
    unsafe { take_message(ddpo_libtorch_path()) }
}

/// Returns the compute capability of a device, such as 90 for 9.0.
pub(super) fn capability(device: usize) -> Result<i32, String> {
    let device = c_int::try_from(device).map_err(|error| error.to_string())?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to numbers of this frame. The call is `noexcept`, catches all exceptions,
    // and returns null or a string made by `strdup` for this caller.
    let message = unsafe { take_message(ddpo_cuda_capability(device, &mut major, &mut minor)) };
    message.map_or(Ok(major * 10 + minor), Err)
}

/// Loads kernels for a device. Afterwards the operator accepts tensors of this element type.
///
/// `image` comes from [`Nvrtc::compile`], in this process or in an earlier one.
pub(super) fn load(device: usize, element: i32, image: &[u8]) -> Result<(), String> {
    let device = c_int::try_from(device).map_err(|error| error.to_string())?;
    // The driver takes no length: it reads a cubin's length from its header, and PTX up to a zero byte. The
    // copy appends a zero byte to terminate PTX. The cache verifies images by their digest.
    let image: Vec<u8> = image.iter().copied().chain([0]).collect();
    // SAFETY: `image` lives for the call, which copies it, and ends in a zero byte. The call is `noexcept`,
    // catches all exceptions, and returns null or a string made by `strdup` for this caller.
    let message =
        unsafe { take_message(ddpo_cuda_norm_load(device, element, image.as_ptr().cast())) };
    message.map_or(Ok(()), Err)
}

/// An open NVRTC library.
pub(super) struct Nvrtc {
    library: NonNull<DdpoNvrtc>,
    /// Version, such as (13, 0).
    pub(super) version: (i32, i32),
}

// SAFETY: the pointer is to a table of functions that is complete before Rust receives it, and is never
// changed or freed. NVRTC's functions are thread-safe.
unsafe impl Send for Nvrtc {}
// SAFETY: as just said.
unsafe impl Sync for Nvrtc {}

/// The input of NVRTC, as C strings.
pub(super) struct Source {
    pub(super) name: CString,
    pub(super) text: CString,
    pub(super) header_name: CString,
    pub(super) header: CString,
    pub(super) options: Vec<CString>,
}

/// The form of a compiled image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Machine code of one architecture.
    Cubin,
    /// PTX text that the driver compiles for its GPU.
    Ptx,
}

/// A compiled image and the compiler's log.
pub(super) struct Compiled {
    pub(super) image: Vec<u8>,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests read the register usage from it"))]
    pub(super) log: String,
}

impl Nvrtc {
    /// Opens a library by its path, or by its name on the loader's path.
    pub(super) fn open(path: &CStr) -> Result<Self, String> {
        let mut library = ptr::null();
        let (mut major, mut minor) = (0, 0);
        // SAFETY: `path` ends in a zero byte; the other pointers are to variables of this frame. The call is
        // `noexcept`, catches all exceptions, and returns null or a string made by `strdup` for this caller.
        let message = unsafe {
            take_message(ddpo_nvrtc_open(path.as_ptr(), &mut library, &mut major, &mut minor))
        };
        match (message, NonNull::new(library.cast_mut())) {
            (None, Some(library)) => Ok(Self { library, version: (major, minor) }),
            (message, _) => Err(message.unwrap_or_else(|| "no library".into())),
        }
    }

    /// Returns the supported architectures, such as 90, in ascending order.
    pub(super) fn architectures(&self) -> Vec<i32> {
        let mut found = [0; 128];
        // SAFETY: the library is open; the call writes at most `found.len()` numbers.
        let count = unsafe {
            ddpo_nvrtc_architectures(
                self.library.as_ptr(),
                found.as_mut_ptr(),
                found.len() as c_int,
            )
        };
        let mut found = found[..usize::try_from(count).unwrap_or(0).min(found.len())].to_vec();
        found.sort_unstable();
        found
    }

    pub(super) fn compile(&self, source: &Source, form: Form) -> Result<Compiled, String> {
        let options: Vec<*const c_char> =
            source.options.iter().map(|option| option.as_ptr()).collect();
        let texts = DdpoSource {
            name: source.name.as_ptr(),
            source: source.text.as_ptr(),
            header_name: source.header_name.as_ptr(),
            header: source.header.as_ptr(),
            options: options.as_ptr(),
            option_count: c_int::try_from(options.len()).map_err(|error| error.to_string())?,
        };
        let (mut image, mut log) = (ptr::null_mut(), ptr::null_mut());
        let mut size = 0;
        // SAFETY: the library is open; `texts` points to strings and pointers that live in `source` and
        // `options`; the outputs are variables of this frame. The call is `noexcept`, catches all
        // exceptions, and returns null or a string made by `strdup` for this caller.
        let message = unsafe {
            take_message(ddpo_nvrtc_compile(
                self.library.as_ptr(),
                &texts,
                form == Form::Ptx,
                &mut image,
                &mut size,
                &mut log,
            ))
        };
        if let Some(message) = message {
            return Err(message);
        }
        // SAFETY: the call returned null, so `image` is memory of `size` + 1 bytes from `calloc`, whose last
        // byte is zero, and `log` is a string from `strdup`, or null if memory was short; both are for this
        // caller. The bytes are copied before `take_message` frees the memory once.
        let (image, log) = unsafe {
            let bytes = std::slice::from_raw_parts(image.cast::<u8>(), size).to_vec();
            take_message(image);
            (bytes, take_message(log).unwrap_or_default())
        };
        Ok(Compiled { image, log })
    }
}
