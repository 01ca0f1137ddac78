//! Makes objects of Python's own class `uuid.UUID` by writing to their slots.
//!
//! `UUID.__init__` is 30 lines of Python that check and convert its arguments, which a newly
//! generated UUID does not need. The class stores only `int` and `is_safe`. If the class of
//! another Python version stores something else, or if a program has replaced the class,
//! the constructor is called instead.

use fork_safe_uuid::Uuid;
use once_cell::race::OnceBox;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyType};

/// The makers of all interpreters that have imported this module.
///
/// The list has no lock, which a fork during an import could leave locked in the child. It
/// only grows. The number of an interpreter is never reused, so the entry of an interpreter
/// that has ended is not used again.
static MAKERS: OnceBox<Entry> = OnceBox::new();

struct Entry {
    interpreter: i64,
    maker: Maker,
    next: OnceBox<Entry>,
}

/// The class `uuid.UUID` of one interpreter, and the values of `is_safe`.
struct Maker {
    class: Py<PyType>,
    safe: Py<PyAny>,
    unsafe_: Py<PyAny>,
    slots: Option<Slots>,
}

/// The descriptors of the class's two slots, and their setter.
struct Slots {
    int: Py<PyAny>,
    is_safe: Py<PyAny>,
    set: ffi::descrsetfunc,
    sixty_four: Py<PyAny>,
}

/// The value of `is_safe`: whether no other process makes the same UUID.
#[derive(Clone, Copy)]
pub(crate) enum Safe {
    /// The UUID has random bits of this process.
    Yes,
    /// The caller chose the node, and only 14 random bits differ between processes.
    No,
}

/// Finds the class `uuid.UUID` and its slots.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    let uuid = py.import("uuid")?;
    let class = uuid.getattr("UUID")?.cast_into::<PyType>()?;
    let safety = uuid.getattr("SafeUUID")?;
    let mut maker = Maker {
        slots: Slots::of(&class)?,
        class: class.unbind(),
        safe: safety.getattr("safe")?.unbind(),
        unsafe_: safety.getattr("unsafe")?.unbind(),
    };
    if maker.slots.is_some() && !maker.agrees(py).unwrap_or(false) {
        maker.slots = None;
    }
    let mut entry = Box::new(Entry {
        interpreter: current(py),
        maker,
        next: OnceBox::new(),
    });
    let mut end = &MAKERS;
    while let Err(refused) = end.set(entry) {
        entry = refused;
        end = match end.get() {
            // A second import in one interpreter finds the entry of the first one.
            Some(other) if other.interpreter == entry.interpreter => break,
            Some(other) => &other.next,
            None => unreachable!("a box that refuses is full"),
        };
    }
    Ok(())
}

/// Returns `id` as a `uuid.UUID` of the calling interpreter.
#[inline]
pub(crate) fn make<'py>(py: Python<'py>, id: Uuid, safe: Safe) -> PyResult<Bound<'py, PyAny>> {
    let interpreter = current(py);
    let mut entry = MAKERS.get();
    while let Some(this) = entry {
        if this.interpreter == interpreter {
            return this.maker.make(py, id, safe);
        }
        entry = this.next.get();
    }
    Err(PyRuntimeError::new_err(
        "this interpreter has not imported fork_safe_uuid",
    ))
}

/// Returns the number of the calling interpreter.
#[inline]
fn current(_: Python<'_>) -> i64 {
    // SAFETY: the token proves that the thread is attached to an interpreter.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) }
}

impl Maker {
    /// Returns `id` as an object of the class.
    #[inline]
    fn make<'py>(&self, py: Python<'py>, id: Uuid, safe: Safe) -> PyResult<Bound<'py, PyAny>> {
        let safe = match safe {
            Safe::Yes => &self.safe,
            Safe::No => &self.unsafe_,
        };
        match &self.slots {
            Some(slots) => slots.make(self.class.bind(py), id, safe.bind(py)),
            None => self.construct(py, id, safe.bind(py)),
        }
    }

    /// Does the same by calling the class.
    #[cold]
    fn construct<'py>(
        &self,
        py: Python<'py>,
        id: Uuid,
        safe: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let int = id.as_u128().into_pyobject(py)?;
        let arguments = [("int", int.as_any()), ("is_safe", safe)];
        self.class
            .bind(py)
            .call((), Some(&arguments.into_py_dict(py)?))
    }

    /// Returns whether objects made by the slots are like those that the constructor makes.
    fn agrees<'py>(&self, py: Python<'py>) -> PyResult<bool> {
        for id in [Uuid::nil(), Uuid::from_u128(1 << 64 | 1), Uuid::max()] {
            for safe in [Safe::Yes, Safe::No] {
                let made = self.make(py, id, safe)?;
                let wanted = self.construct(py, id, made.getattr("is_safe")?.as_any())?;
                // Texts and pickled states are compared, too: they would differ if the class had
                // an attribute that this file does not know.
                let state = |id: &Bound<'py, PyAny>| id.call_method0("__getstate__");
                let same = made.eq(&wanted)?
                    && made.str()?.as_any().eq(wanted.str()?)?
                    && state(&made)?.eq(state(&wanted)?)?;
                if !same {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Slots {
    /// Returns the slots of `class`, or `None` if it does not keep its value in them.
    fn of(class: &Bound<'_, PyType>) -> PyResult<Option<Self>> {
        let py = class.py();
        let member = py
            .import("types")?
            .getattr("MemberDescriptorType")?
            .cast_into::<PyType>()?;
        let is_slot = |descriptor: &Bound<'_, PyAny>| -> PyResult<bool> {
            Ok(descriptor.get_type().is(&member) && descriptor.getattr("__objclass__")?.is(class))
        };
        let object = py.import("builtins")?.getattr("object")?;
        if !class.getattr("__new__")?.is(object.getattr("__new__")?) {
            return Ok(None);
        }
        let (int, is_safe) = (class.getattr("int")?, class.getattr("is_safe")?);
        if !is_slot(&int)? || !is_slot(&is_safe)? {
            return Ok(None);
        }
        // SAFETY: `member` is a type object, and the thread is attached. Since Python 3.10,
        // the lowest that is supported, static types are allowed.
        let set = unsafe { ffi::PyType_GetSlot(member.as_type_ptr(), ffi::Py_tp_descr_set) };
        if set.is_null() {
            return Ok(None);
        }
        Ok(Some(Self {
            int: int.unbind(),
            is_safe: is_safe.unbind(),
            // SAFETY: Python documents that this slot holds a `descrsetfunc`.
            set: unsafe { std::mem::transmute::<*mut std::ffi::c_void, ffi::descrsetfunc>(set) },
            sixty_four: 64_u8.into_pyobject(py)?.into_any().unbind(),
        }))
    }

    /// Returns `id` as an object of `class`.
    #[inline]
    fn make<'py>(
        &self,
        class: &Bound<'py, PyType>,
        id: Uuid,
        safe: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = class.py();
        let value = self.int_of(py, id)?;
        // SAFETY: the thread is attached, and `class` inherits `object.__new__`, which is
        // this call. It returns a new reference, or null with an exception set.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class.as_type_ptr(), 0))?
        };
        for (slot, value) in [(&self.int, &value), (&self.is_safe, safe)] {
            // SAFETY: `set` is the setter of the descriptor's own type, all three
            // objects live, and the thread is attached. It takes its own references.
            let result = unsafe { (self.set)(slot.as_ptr(), object.as_ptr(), value.as_ptr()) };
            if result != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        Ok(object)
    }

    /// Returns the value of `id` as a Python `int`.
    ///
    /// The stable interface has no call that makes one of 128 bits before Python 3.14.
    #[inline]
    fn int_of<'py>(&self, py: Python<'py>, id: Uuid) -> PyResult<Bound<'py, PyAny>> {
        let (high, low) = id.as_u64_pair();
        // SAFETY: the thread is attached, each argument lives, and each call returns a new
        // reference, or null with an exception set.
        unsafe {
            let high = Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLongLong(high))?;
            let low = Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLongLong(low))?;
            let high = ffi::PyNumber_Lshift(high.as_ptr(), self.sixty_four.as_ptr());
            let high = Bound::from_owned_ptr_or_err(py, high)?;
            Bound::from_owned_ptr_or_err(py, ffi::PyNumber_Or(high.as_ptr(), low.as_ptr()))
        }
    }
}
