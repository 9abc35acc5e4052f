//! The border to `cpp/cuda/`: NVRTC and the CUDA driver.

#![allow(unsafe_code)]

use crate::ffi::take_message;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

/// A library of NVRTC that stays open.
#[repr(C)]
struct DdpoNvrtc {
    _opaque: [u8; 0],
}

/// As `DdpoSource` in `cpp/cuda/nvrtc.cpp`.
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

/// The path of the libc10 that this process has loaded.
pub(super) fn libtorch_path() -> Option<String> {
    // SAFETY: the call takes nothing, and gives null or a string made by `strdup` for this caller.
    unsafe { take_message(ddpo_libtorch_path()) }
}

/// The compute capability of a device, such as 90 for 9.0.
pub(super) fn capability(device: usize) -> Result<i32, String> {
    let device = c_int::try_from(device).map_err(|error| error.to_string())?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to numbers of this frame. The call is `noexcept`, catches all exceptions,
    // and gives null or a string made by `strdup` for this caller.
    let message = unsafe { take_message(ddpo_cuda_capability(device, &mut major, &mut minor)) };
    message.map_or(Ok(major * 10 + minor), Err)
}

/// Loads kernels for a device; tensors of this element type can then be given to the operator.
///
/// `image` is what [`Nvrtc::compile`] gave, from this process or from an earlier one.
pub(super) fn load(device: usize, element: i32, image: &[u8]) -> Result<(), String> {
    let device = c_int::try_from(device).map_err(|error| error.to_string())?;
    // The driver takes no length: it reads a cubin's from its header, and PTX up to a zero. A copy with a
    // zero behind it bounds PTX; the cache checks that what it gives is what was compiled.
    let image: Vec<u8> = image.iter().copied().chain([0]).collect();
    // SAFETY: `image` lives through the call, which copies it, and ends in a zero. The call is `noexcept`,
    // catches all exceptions, and gives null or a string made by `strdup` for this caller.
    let message =
        unsafe { take_message(ddpo_cuda_norm_load(device, element, image.as_ptr().cast())) };
    message.map_or(Ok(()), Err)
}

/// An opened NVRTC.
pub(super) struct Nvrtc {
    library: NonNull<DdpoNvrtc>,
    /// Its version, such as (13, 0).
    pub(super) version: (i32, i32),
}

// SAFETY: the pointer is to a table of functions that is written before it is given to this side, and never
// changed or freed. NVRTC's functions can be called from several threads.
unsafe impl Send for Nvrtc {}
// SAFETY: as just said.
unsafe impl Sync for Nvrtc {}

/// What NVRTC compiles: texts for C.
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
    /// Text that the driver compiles for its GPU.
    Ptx,
}

/// A compiled image and the compiler's log.
pub(super) struct Compiled {
    pub(super) image: Vec<u8>,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests read the registers from it"))]
    pub(super) log: String,
}

impl Nvrtc {
    /// Opens a library by its path, or by its name on the loader's path.
    pub(super) fn open(path: &CStr) -> Result<Self, String> {
        let mut library = ptr::null();
        let (mut major, mut minor) = (0, 0);
        // SAFETY: `path` ends in a zero; the other pointers are to variables of this frame. The call is
        // `noexcept`, catches all exceptions, and gives null or a string made by `strdup` for this caller.
        let message = unsafe {
            take_message(ddpo_nvrtc_open(path.as_ptr(), &mut library, &mut major, &mut minor))
        };
        match (message, NonNull::new(library.cast_mut())) {
            (None, Some(library)) => Ok(Self { library, version: (major, minor) }),
            (message, _) => Err(message.unwrap_or_else(|| "no library".into())),
        }
    }

    /// The architectures that it compiles for, such as 90, in ascending order.
    pub(super) fn architectures(&self) -> Vec<i32> {
        let mut found = [0; 128];
        // SAFETY: the library is open; the call writes at most as many numbers as it is told.
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
        // exceptions, and gives null or a string made by `strdup` for this caller.
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
        // SAFETY: null came back, so `image` is memory of `size` bytes by `calloc` and `log` a string by
        // `strdup`, or null where memory was short, both for this caller. The bytes are copied before
        // `take_message` frees the memory, once; it ends in a zero, which `calloc` wrote behind the size.
        let (image, log) = unsafe {
            let bytes = std::slice::from_raw_parts(image.cast::<u8>(), size).to_vec();
            take_message(image);
            (bytes, take_message(log).unwrap_or_default())
        };
        Ok(Compiled { image, log })
    }
}
