//! A library that allocates memory and catches a panic, for `two.c`.

use std::panic;

#[cfg_attr(not(same), unsafe(export_name = "catches"))]
#[cfg_attr(same, unsafe(export_name = "same"))]
pub extern "C" fn catches(number: i32) -> i32 {
    panic::set_hook(Box::new(|_| ()));
    let caught = panic::catch_unwind(|| panic!("{number} and more"));
    caught.unwrap_err().downcast::<String>().unwrap().len() as i32
}
