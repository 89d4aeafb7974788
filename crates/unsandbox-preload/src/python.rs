// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! `sitecustomize` as a module of Python's stable ABI: it loads in a sixth of the time that Python needs for a file of
//! source, and nothing of it is in a traceback, a profile or a debugger. `sys.stdout.buffer.write` flushes; after
//! [`BUDGET`] writes in [`MOMENT`] a thread does it instead (`gather.py`, compiled only then), for a while.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{NonNull, addr_of_mut, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering::Relaxed};

/// Writes after which a program may be one that prints much; a write costs a microsecond.
const BUDGET: i64 = 1_000;
/// Nanoseconds.
const MOMENT: i64 = 20_000_000;
const GATHER: &CStr = source();

const fn source() -> &'static CStr {
    match CStr::from_bytes_with_nul(concat!(include_str!("gather.py"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("gather.py holds a NUL"),
    }
}

type Raw = *mut PyObject;

#[repr(C)]
struct PyObject {
    references: isize,
    kind: *mut c_void,
}

#[repr(C)]
struct MethodDef {
    name: *const c_char,
    function: unsafe extern "C" fn(Raw, Raw) -> Raw,
    flags: c_int,
    doc: *const c_char,
}

#[repr(C)]
struct Slot {
    id: c_int,
    value: *mut c_void,
}

#[repr(C)]
struct ModuleDef {
    base: PyObject,
    init: *mut c_void,
    index: isize,
    copy: *mut c_void,
    name: *const c_char,
    doc: *const c_char,
    size: isize,
    methods: *mut c_void,
    slots: *mut Slot,
    traverse: *mut c_void,
    clear: *mut c_void,
    free: *mut c_void,
}

const METH_O: c_int = 8;
const MOD_CREATE: c_int = 1;
const MOD_INTERPRETERS: c_int = 3;
const OWN_GIL: *mut c_void = core::ptr::without_provenance_mut(2);
const FILE_INPUT: c_int = 257;

unsafe extern "C" {
    static PyExc_Exception: Raw;
    fn Py_GetVersion() -> *const c_char;
    fn PyModuleDef_Init(def: *mut ModuleDef) -> Raw;
    fn PyCFunction_NewEx(def: *mut MethodDef, this: Raw, module: Raw) -> Raw;
    fn PySys_GetObject(name: *const c_char) -> Raw;
    fn PyImport_ImportModule(name: *const c_char) -> Raw;
    fn PyObject_GetAttrString(object: Raw, name: *const c_char) -> Raw;
    fn PyObject_SetAttrString(object: Raw, name: *const c_char, value: Raw) -> c_int;
    fn PyObject_CallFunctionObjArgs(callable: Raw, ...) -> Raw;
    fn PyObject_CallFunction(callable: Raw, format: *const c_char, ...) -> Raw;
    fn PyObject_Call(callable: Raw, arguments: Raw, keywords: Raw) -> Raw;
    fn PyObject_IsTrue(object: Raw) -> c_int;
    fn PyMapping_GetItemString(object: Raw, key: *const c_char) -> Raw;
    fn PyMapping_SetItemString(object: Raw, key: *const c_char, value: Raw) -> c_int;
    fn PyObject_DelItemString(object: Raw, key: *const c_char) -> c_int;
    fn PyObject_RichCompareBool(a: Raw, b: Raw, operation: c_int) -> c_int;
    fn PySequence_GetItem(object: Raw, place: isize) -> Raw;
    fn PyTuple_New(len: isize) -> Raw;
    fn PyDict_New() -> Raw;
    fn PyDict_SetItemString(dict: Raw, key: *const c_char, value: Raw) -> c_int;
    fn PyBool_FromLong(value: core::ffi::c_long) -> Raw;
    fn PyEval_GetBuiltins() -> Raw;
    fn Py_CompileString(text: *const c_char, name: *const c_char, start: c_int) -> Raw;
    fn PyEval_EvalCode(code: Raw, globals: Raw, locals: Raw) -> Raw;
    fn PyErr_Occurred() -> Raw;
    fn PyErr_Clear();
    fn PyErr_ExceptionMatches(kind: Raw) -> c_int;
    fn PyErr_SetImportError(message: Raw, name: Raw, path: Raw) -> Raw;
    fn PyUnicode_FromString(text: *const c_char) -> Raw;
    fn Py_IncRef(object: Raw);
    fn Py_DecRef(object: Raw);
    fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
}

/// A reference that is given back at its end.
struct Object(NonNull<PyObject>);

impl Object {
    /// `None` stands for an error that Python has noted.
    fn owned(raw: Raw) -> Option<Object> {
        NonNull::new(raw).map(Object)
    }

    fn borrowed(raw: Raw) -> Option<Object> {
        // SAFETY: a null pointer is ignored, and another one is an object.
        unsafe { Py_IncRef(raw) };
        Object::owned(raw)
    }

    fn get(&self, name: &CStr) -> Option<Object> {
        // SAFETY: an object and a C string.
        Object::owned(unsafe { PyObject_GetAttrString(self.raw(), name.as_ptr()) })
    }

    fn set(&self, name: &CStr, value: &Object) -> Option<()> {
        // SAFETY: as above.
        let status = unsafe { PyObject_SetAttrString(self.raw(), name.as_ptr(), value.raw()) };
        (status == 0).then_some(())
    }

    fn call(&self, argument: Option<&Object>) -> Option<Object> {
        let argument = argument.map_or(null_mut(), Object::raw);
        // SAFETY: the list of arguments ends with a null pointer.
        let end = null_mut::<PyObject>();
        Object::owned(unsafe { PyObject_CallFunctionObjArgs(self.raw(), argument, end) })
    }

    /// `self.reconfigure(name=True)`.
    fn reconfigure(&self, name: &CStr) -> Option<()> {
        // SAFETY: new objects, checked before they are used.
        unsafe {
            let (none, names) = (Object::owned(PyTuple_New(0))?, Object::owned(PyDict_New())?);
            let yes = Object::owned(PyBool_FromLong(1))?;
            PyDict_SetItemString(names.raw(), name.as_ptr(), yes.raw());
            let method = self.get(c"reconfigure")?;
            Object::owned(PyObject_Call(method.raw(), none.raw(), names.raw()))?;
        }
        Some(())
    }

    fn is_true(&self) -> bool {
        // SAFETY: an object.
        unsafe { PyObject_IsTrue(self.raw()) == 1 }
    }

    fn is_equal(&self, other: &Object) -> bool {
        const EQUAL: c_int = 2;
        // SAFETY: two objects.
        unsafe { PyObject_RichCompareBool(self.raw(), other.raw(), EQUAL) == 1 }
    }

    fn raw(&self) -> Raw {
        self.0.as_ptr()
    }

    fn into_raw(self) -> Raw {
        let raw = self.raw();
        core::mem::forget(self);
        raw
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: this reference is its own.
        unsafe { Py_DecRef(self.raw()) }
    }
}

/// An object that lives as long as the process.
struct Kept(AtomicPtr<PyObject>);

impl Kept {
    const fn empty() -> Kept {
        Kept(AtomicPtr::new(null_mut()))
    }

    fn keep(&self, object: Object) {
        self.0.store(object.into_raw(), Relaxed);
    }

    fn get(&self) -> Option<Object> {
        Object::borrowed(self.0.load(Relaxed))
    }
}

/// The methods of the buffer itself, and the function that starts the thread.
static WRITE: Kept = Kept::empty();
static FLUSH: Kept = Kept::empty();
static STREAM: Kept = Kept::empty();
static START: Kept = Kept::empty();
static IS_GATHERING: AtomicBool = AtomicBool::new(false);
/// No thread may be started: a write shows what was written before it once a moment has passed.
static IS_ALONE: AtomicBool = AtomicBool::new(false);
static LEFT: AtomicI64 = AtomicI64::new(BUDGET);
static SINCE: AtomicI64 = AtomicI64::new(0);

fn nanoseconds() -> i64 {
    const MONOTONIC: c_int = 1;
    let mut time = [0; 2];
    // SAFETY: room for the time.
    unsafe { clock_gettime(MONOTONIC, &mut time) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
}

/// `sys.stdout.buffer.write`, in place of the buffer's own.
unsafe extern "C" fn write(_buffer: Raw, data: Raw) -> Raw {
    let written = Object::borrowed(data).and_then(|data| WRITE.get()?.call(Some(&data)));
    let Some(written) = written else { return null_mut() };
    if !IS_GATHERING.load(Relaxed) && show().is_none() {
        return null_mut();
    }
    written.into_raw()
}

fn show() -> Option<()> {
    if IS_ALONE.load(Relaxed) {
        if nanoseconds() - SINCE.load(Relaxed) < MOMENT {
            return Some(());
        }
        SINCE.store(nanoseconds(), Relaxed);
        IS_ALONE.store(false, Relaxed);
    }
    FLUSH.get()?.call(None)?;
    if LEFT.fetch_sub(1, Relaxed) > 1 {
        return Some(());
    }
    LEFT.store(BUDGET, Relaxed);
    let now = nanoseconds();
    if now - SINCE.swap(now, Relaxed) < MOMENT {
        let is_started = gather();
        if is_started.is_none() {
            // A signal's exception is the program's own.
            // SAFETY: an error is noted.
            unsafe {
                if PyErr_ExceptionMatches(PyExc_Exception) == 0 {
                    return None;
                }
                PyErr_Clear();
            }
        }
        IS_ALONE.store(is_started != Some(true), Relaxed);
    }
    Some(())
}

/// Starts the thread; whether there may be one.
fn gather() -> Option<bool> {
    if START.get().is_none() {
        START.keep(compile()?);
    }
    START.get()?.call(None).map(|is_started| is_started.is_true())
}

/// The function `gather` of gather.py, which is given the names that it uses.
fn compile() -> Option<Object> {
    static mut NOTE: MethodDef =
        MethodDef { name: c"note".as_ptr(), function: note, flags: METH_O, doc: null_mut() };
    let stream = STREAM.get()?;
    let buffer = stream.get(c"buffer")?;
    // SAFETY: new objects, checked before they are used; the definition is static.
    unsafe {
        let note = Object::owned(PyCFunction_NewEx(addr_of_mut!(NOTE), null_mut(), null_mut()))?;
        let names = Object::owned(PyDict_New())?;
        let builtins = Object::borrowed(PyEval_GetBuiltins())?;
        let given = [
            (c"__builtins__", builtins),
            (c"stream", stream),
            (c"live_write", buffer.get(c"write")?),
            (c"buffer", buffer),
            (c"note", note),
        ];
        for (name, value) in &given {
            PyDict_SetItemString(names.raw(), name.as_ptr(), value.raw());
        }
        let code = Py_CompileString(GATHER.as_ptr(), c"<gather>".as_ptr(), FILE_INPUT);
        let code = Object::owned(code)?;
        Object::owned(PyEval_EvalCode(code.raw(), names.raw(), names.raw()))?;
        Object::owned(PyMapping_GetItemString(names.raw(), c"gather".as_ptr()))
    }
}

/// Whether the thread shows what was written.
unsafe extern "C" fn note(_none: Raw, is_gathering: Raw) -> Raw {
    let is_gathering = Object::borrowed(is_gathering);
    IS_GATHERING.store(is_gathering.as_ref().is_some_and(Object::is_true), Relaxed);
    is_gathering.map_or(null_mut(), Object::into_raw)
}

/// Makes standard output live, if it is buffered as Python does it by itself.
fn prepare() -> Option<()> {
    static mut LIVE_WRITE: MethodDef =
        MethodDef { name: c"write".as_ptr(), function: write, flags: METH_O, doc: null_mut() };
    // SAFETY: `sys` has these names, or there is none; the definition is static.
    let [stdout, stderr] = [c"stdout", c"stderr"]
        .map(|name| Object::borrowed(unsafe { PySys_GetObject(name.as_ptr()) }));
    let stderr = stderr?;
    if !stderr.get(c"line_buffering")?.is_true() {
        stderr.reconfigure(c"line_buffering")?;
    }
    let stdout = stdout?;
    let buffer = stdout.get(c"buffer")?;
    // An unbuffered one has none. Only the first interpreter of the process counts.
    buffer.get(c"raw")?;
    if WRITE.get().is_some() {
        return stdout.reconfigure(c"line_buffering");
    }
    let (write, flush) = (buffer.get(c"write")?, buffer.get(c"flush")?);
    // SAFETY: as above.
    let live = unsafe { PyCFunction_NewEx(addr_of_mut!(LIVE_WRITE), buffer.raw(), null_mut()) };
    buffer.set(c"write", &Object::owned(live)?)?;
    WRITE.keep(write);
    FLUSH.keep(flush);
    SINCE.store(nanoseconds(), Relaxed);
    stdout.reconfigure(c"write_through")?;
    STREAM.keep(stdout);
    Some(())
}

/// Takes the folder of this module out of `sys.path` and `PYTHONPATH`.
fn leave(spec: &Object) -> Option<()> {
    const SPLIT: &CStr = c"s";
    // SAFETY: formats and arguments agree.
    unsafe {
        let origin = spec.get(c"origin")?;
        let parts = origin.get(c"rpartition")?;
        let parts = PyObject_CallFunction(parts.raw(), SPLIT.as_ptr(), c"/".as_ptr());
        let here = Object::owned(PySequence_GetItem(Object::owned(parts)?.raw(), 0))?;
        for (name, method) in [(c"path", c"remove"), (c"path_importer_cache", c"__delitem__")] {
            let list = Object::borrowed(PySys_GetObject(name.as_ptr()))?;
            if list.get(method)?.call(Some(&here)).is_none() {
                PyErr_Clear();
            }
        }
        let os = Object::owned(PyImport_ImportModule(c"os".as_ptr()))?;
        let environment = os.get(c"environ")?;
        const NAME: &CStr = c"PYTHONPATH";
        let value = Object::owned(PyMapping_GetItemString(environment.raw(), NAME.as_ptr()))?;
        let parts = value.get(c"partition")?;
        let parts = PyObject_CallFunction(parts.raw(), SPLIT.as_ptr(), c":".as_ptr());
        let parts = Object::owned(parts)?;
        let part = |place| Object::owned(PySequence_GetItem(parts.raw(), place));
        if part(0)?.is_equal(&here) {
            let rest = part(2)?;
            match rest.is_true() {
                true => PyMapping_SetItemString(environment.raw(), NAME.as_ptr(), rest.raw()),
                false => PyObject_DelItemString(environment.raw(), NAME.as_ptr()),
            };
        }
    }
    Some(())
}

/// Ends as if there were no such module, once the installation's own is imported in its place.
unsafe extern "C" fn create(spec: Raw, _def: *mut ModuleDef) -> Raw {
    const NAME: &CStr = c"sitecustomize";
    // SAFETY: an error that is noted is cleared; strings are C strings.
    unsafe {
        if prepare().is_none() {
            PyErr_Clear();
        }
        if Object::borrowed(spec).and_then(|spec| leave(&spec)).is_none() {
            PyErr_Clear();
        }
        let own = Object::owned(PyImport_ImportModule(NAME.as_ptr()));
        if own.is_some() || PyErr_Occurred().is_null() {
            let name = Object::owned(PyUnicode_FromString(NAME.as_ptr()));
            if let Some(name) = name {
                PyErr_SetImportError(name.raw(), name.raw(), null_mut());
            }
        }
    }
    null_mut()
}

/// Called by Python when it imports the module.
#[unsafe(no_mangle)]
pub extern "C" fn PyInit_sitecustomize() -> *mut c_void {
    const END: Slot = Slot { id: 0, value: null_mut() };
    static mut SLOTS: [Slot; 3] = [Slot { id: MOD_CREATE, value: create as *mut c_void }, END, END];
    static mut DEF: ModuleDef = ModuleDef {
        base: PyObject { references: 1, kind: null_mut() },
        init: null_mut(),
        index: 0,
        copy: null_mut(),
        name: c"sitecustomize".as_ptr(),
        doc: null_mut(),
        size: 0,
        methods: null_mut(),
        slots: addr_of_mut!(SLOTS).cast(),
        traverse: null_mut(),
        clear: null_mut(),
        free: null_mut(),
    };
    // SAFETY: static definitions, which are the same for each interpreter, and which Python alone changes.
    unsafe {
        if has_interpreters_of_their_own() {
            addr_of_mut!(SLOTS[1]).write(Slot { id: MOD_INTERPRETERS, value: OWN_GIL });
        }
        PyModuleDef_Init(addr_of_mut!(DEF)).cast()
    }
}

/// Since 3.12, which refuses a module that says nothing of them; older versions refuse one that does.
fn has_interpreters_of_their_own() -> bool {
    // SAFETY: a string of Python's.
    let version = unsafe { CStr::from_ptr(Py_GetVersion()) }.to_bytes();
    let mut numbers = version.split(|byte| *byte == b'.').skip(1);
    let minor = numbers.next().unwrap_or_default();
    minor.len() > 1 && minor >= b"12"
}
