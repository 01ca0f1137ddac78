//! Runs when the library is loaded, or when a static program starts.

use crate::{abort, errno};

extern "C" fn load() {
    errno::keep(|| {
        abort::remember_standard_error();
        abort::take_panics();
    });
}

/// The loader calls each function in this section.
#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;
