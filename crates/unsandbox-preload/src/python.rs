// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! `sitecustomize` as a module of Python's stable ABI: it loads in a sixth of the time that Python needs for a file of
//! source, and nothing of it is in a traceback, a profile or a debugger. What is written to `sys.stdout` and its buffer
//! goes to the object that the process has loaded (`output/gathered.rs`). Without that, standard output is line-buffered.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{NonNull, addr_of_mut, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

type Raw = *mut PyObject;

#[repr(C)]
struct PyObject {
    references: isize,
    kind: *mut c_void,
}

#[repr(C)]
struct MethodDef {
    name: *const c_char,
    function: Function,
    flags: c_int,
    doc: *const c_char,
}

#[repr(C)]
union Function {
    one: unsafe extern "C" fn(Raw, Raw) -> Raw,
    all: unsafe extern "C" fn(Raw, Raw, Raw) -> Raw,
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

const METH_ALL: c_int = 1 | 2;
const METH_NOARGS: c_int = 4;
const METH_O: c_int = 8;
const MOD_CREATE: c_int = 1;
const MOD_INTERPRETERS: c_int = 3;
const OWN_GIL: *mut c_void = core::ptr::without_provenance_mut(2);

unsafe extern "C" {
    static PyExc_OSError: Raw;
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
    fn PyDict_GetItemString(dict: Raw, key: *const c_char) -> Raw;
    fn PyDict_SetItemString(dict: Raw, key: *const c_char, value: Raw) -> c_int;
    fn PyBool_FromLong(value: core::ffi::c_long) -> Raw;
    fn PyBytes_AsStringAndSize(object: Raw, bytes: *mut *mut u8, len: *mut isize) -> c_int;
    fn PyUnicode_AsUTF8AndSize(text: Raw, len: *mut isize) -> *const u8;
    fn PyUnicode_AsUTF8String(text: Raw) -> Raw;
    fn PyMemoryView_FromObject(object: Raw) -> Raw;
    fn PyBytes_FromObject(object: Raw) -> Raw;
    fn PyUnicode_GetLength(text: Raw) -> isize;
    fn PyLong_FromSsize_t(value: isize) -> Raw;
    fn PyEval_SaveThread() -> *mut c_void;
    fn PyEval_RestoreThread(state: *mut c_void);
    fn PyErr_Occurred() -> Raw;
    fn PyErr_Clear();
    fn PyErr_CheckSignals() -> c_int;
    fn PyErr_SetFromErrno(kind: Raw) -> Raw;
    fn PyErr_SetImportError(message: Raw, name: Raw, path: Raw) -> Raw;
    fn PyUnicode_FromString(text: *const c_char) -> Raw;
    fn Py_IncRef(object: Raw);
    fn Py_DecRef(object: Raw);
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn write(descriptor: c_int, bytes: *const u8, len: usize) -> isize;
    #[link_name = "__errno_location"]
    fn errno_place() -> *mut c_int;
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

/// Standard output and its buffer, and their own methods.
static STREAM: Kept = Kept::empty();
static BUFFER: Kept = Kept::empty();
static TEXT_WRITE: Kept = Kept::empty();
static TEXT_FLUSH: Kept = Kept::empty();
static WRITE: Kept = Kept::empty();
static FLUSH: Kept = Kept::empty();
static LEAVING: [Kept; 4] = [const { Kept::empty() }; 4];

/// What the object's methods have in place of their own: those of the stream after which it is no longer written to as
/// before, the same of the buffer, and those that write.
const LEAVING_STREAM: [&CStr; 2] = [c"reconfigure", c"detach"];
const LEAVING_BUFFER: [&CStr; 2] = [c"close", c"detach"];
const WRITING_STREAM: [&CStr; 1] = [c"write"];
const WRITING_BUFFER: [&CStr; 2] = [c"write", c"flush"];

/// The object's functions (`output/mod.rs`), which are there if this is not null.
static KEEP: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static SHOW: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

fn find_object() -> bool {
    for (name, place) in [(c"unsandbox_gather_output", &KEEP), (c"unsandbox_show_output", &SHOW)] {
        // SAFETY: a C string; a null pointer stands for every object of the process.
        let found = unsafe { dlsym(null_mut(), name.as_ptr()) };
        if found.is_null() {
            return false;
        }
        place.store(found, Relaxed);
    }
    true
}

/// 1 if the object has taken the text, 0 if it is to be written, -1 if nothing is gathered in this process.
fn keep(bytes: *const u8, len: usize) -> c_int {
    type Keep = extern "C" fn(*const u8, usize) -> c_int;
    // SAFETY: this function was found, and has this type.
    let keep = unsafe { core::mem::transmute::<*mut c_void, Option<Keep>>(KEEP.load(Relaxed)) };
    keep.map_or(-1, |keep| keep(bytes, len))
}

fn show() -> c_int {
    type Show = extern "C" fn() -> c_int;
    // SAFETY: as above.
    let show = unsafe { core::mem::transmute::<*mut c_void, Option<Show>>(SHOW.load(Relaxed)) };
    show.map_or(0, |show| show())
}

/// Does what may wait while other threads of Python run.
fn apart<T>(work: impl Fn() -> T) -> T {
    // SAFETY: this thread runs Python, and does again afterwards; Python keeps errno.
    unsafe {
        let state = PyEval_SaveThread();
        let done = work();
        PyEval_RestoreThread(state);
        done
    }
}

/// `sys.stdout.write`, in place of the stream's own, while the stream writes UTF-8 and nothing else.
unsafe extern "C" fn write_text(_stream: Raw, text: Raw) -> Raw {
    let mut len = 0;
    // SAFETY: an object and a place; its bytes stay as long as the caller holds it.
    unsafe {
        // Python keeps the bytes with a text. Those of a long one are rather made anew.
        const KEPT_MAX: isize = 64;
        let (mut bytes, mut made) = (null_mut(), None);
        if PyUnicode_GetLength(text) <= KEPT_MAX {
            bytes = PyUnicode_AsUTF8AndSize(text, &mut len).cast_mut();
        } else {
            made = Object::owned(PyUnicode_AsUTF8String(text));
            let raw = made.as_ref().map_or(null_mut(), Object::raw);
            if !raw.is_null() {
                PyBytes_AsStringAndSize(raw, &mut bytes, &mut len);
            }
        }
        if bytes.is_null() {
            // It is not a string, or holds what UTF-8 cannot. None of it may stay in the stream, or what follows passes it.
            PyErr_Clear();
            let written = write_text_own(text).and_then(|written| {
                TEXT_FLUSH.get()?.call(None)?;
                Some(written)
            });
            return raw_or_null(written);
        } else if let Some(is_written) = write_bytes(bytes, len as usize) {
            drop(made);
            return match is_written {
                true => PyLong_FromSsize_t(PyUnicode_GetLength(text)),
                false => null_mut(),
            };
        }
    }
    raw_or_null(write_text_own(text))
}

fn write_text_own(text: Raw) -> Option<Object> {
    let text = Object::borrowed(text)?;
    TEXT_WRITE.get()?.call(Some(&text))
}

/// `sys.stdout.buffer.write`, in place of the buffer's own.
unsafe extern "C" fn write_buffer(_buffer: Raw, data: Raw) -> Raw {
    let (mut bytes, mut len) = (null_mut(), 0);
    // SAFETY: as above.
    unsafe {
        let mut is_bytes = PyBytes_AsStringAndSize(data, &mut bytes, &mut len) == 0;
        let mut made = None;
        if !is_bytes {
            PyErr_Clear();
            // Of another type with bytes, as bytearray.
            if let Some(view) = Object::owned(PyMemoryView_FromObject(data)) {
                made = Object::owned(PyBytes_FromObject(view.raw()));
            }
            let raw = made.as_ref().map_or(null_mut(), Object::raw);
            is_bytes = !raw.is_null() && PyBytes_AsStringAndSize(raw, &mut bytes, &mut len) == 0;
        }
        if !is_bytes {
            PyErr_Clear();
        } else if let Some(is_written) = write_bytes(bytes, len as usize) {
            return if is_written { PyLong_FromSsize_t(len) } else { null_mut() };
        }
    }
    raw_or_null(write_buffer_own(data))
}

fn write_buffer_own(data: Raw) -> Option<Object> {
    let data = Object::borrowed(data)?;
    show_all()?;
    let written = WRITE.get()?.call(Some(&data))?;
    FLUSH.get()?.call(None)?;
    Some(written)
}

/// Whether the bytes could be written, or an exception is set. `None`: nothing is gathered in this process.
fn write_bytes(bytes: *const u8, len: usize) -> Option<bool> {
    match keep(bytes, len) {
        1 => Some(true),
        0 => Some(put(bytes, len).is_some()),
        _ => None,
    }
}

/// Writes a text to standard output, through the object's `write`.
fn put(mut bytes: *const u8, mut len: usize) -> Option<()> {
    const EINTR: c_int = 4;
    while len > 0 {
        // SAFETY: the caller's bytes; the thread runs Python.
        unsafe {
            let written = apart(|| write(1, bytes, len));
            if written >= 0 {
                let written = (written as usize).min(len);
                (bytes, len) = (bytes.add(written), len - written);
            } else if *errno_place() != EINTR {
                PyErr_SetFromErrno(PyExc_OSError);
                return None;
            } else if PyErr_CheckSignals() != 0 {
                return None;
            }
        }
    }
    Some(())
}

fn show_all() -> Option<()> {
    if apart(show) != 0 {
        // SAFETY: the thread runs Python.
        unsafe { PyErr_SetFromErrno(PyExc_OSError) };
        return None;
    }
    Some(())
}

/// `sys.stdout.buffer.flush`, in place of the buffer's own.
unsafe extern "C" fn flush_buffer(_buffer: Raw, _none: Raw) -> Raw {
    raw_or_null(show_all().and_then(|()| FLUSH.get()?.call(None)))
}

/// `sys.stdout.reconfigure`: the stream writes by itself from then on, if it is told how to buffer or writes another
/// encoding.
unsafe extern "C" fn reconfigure_stream(own: Raw, all: Raw, names: Raw) -> Raw {
    // SAFETY: objects of the caller, and names.
    unsafe {
        let says =
            |name: &CStr| !names.is_null() && !PyDict_GetItemString(names, name.as_ptr()).is_null();
        if says(c"line_buffering") || says(c"write_through") || says(c"newline") {
            return leave_with::<0>(own, all, names);
        }
        if show_all().is_none() {
            return null_mut();
        }
        let Some(reconfigure) = LEAVING[0].get() else { return null_mut() };
        let none = PyObject_Call(reconfigure.raw(), all, names);
        if !none.is_null() && STREAM.get().as_ref().and_then(is_utf8) != Some(true) {
            PyErr_Clear();
            leave();
        }
        none
    }
}

/// A method after which the stream and its buffer write by themselves.
unsafe extern "C" fn leave_with<const PLACE: usize>(_own: Raw, all: Raw, names: Raw) -> Raw {
    if show_all().is_none() {
        return null_mut();
    }
    leave();
    let own = LEAVING[PLACE].get();
    // SAFETY: objects of the caller.
    own.map_or(null_mut(), |own| unsafe { PyObject_Call(own.raw(), all, names) })
}

fn leave() {
    let replaced = [
        (STREAM.get(), &LEAVING_STREAM[..]),
        (STREAM.get(), &WRITING_STREAM),
        (BUFFER.get(), &LEAVING_BUFFER),
        (BUFFER.get(), &WRITING_BUFFER),
    ];
    for (object, methods) in replaced {
        for name in methods {
            let Some(object) = &object else { continue };
            // SAFETY: an object and a name; a null pointer removes what has it, if anything has.
            unsafe {
                if PyObject_SetAttrString(object.raw(), name.as_ptr(), null_mut()) != 0 {
                    PyErr_Clear();
                }
            }
        }
    }
}

fn raw_or_null(object: Option<Object>) -> Raw {
    object.map_or(null_mut(), Object::into_raw)
}

/// A method of C's, and its kind.
macro_rules! method {
    ($name:expr, $function:expr, $kind:expr, $doc:literal) => {{
        static mut METHOD: MethodDef = MethodDef {
            name: $name.as_ptr(),
            function: $function,
            flags: $kind,
            doc: $doc.as_ptr(),
        };
        addr_of_mut!(METHOD)
    }};
}

/// Makes standard output live, if it is buffered as Python does it by itself.
fn prepare() -> Option<()> {
    // SAFETY: `sys` has these names, or there is none.
    let [stdout, stderr] = [c"stdout", c"stderr"]
        .map(|name| Object::borrowed(unsafe { PySys_GetObject(name.as_ptr()) }));
    let stderr = stderr?;
    if !stderr.get(c"line_buffering")?.is_true() {
        stderr.reconfigure(c"line_buffering")?;
    }
    let stdout = stdout?;
    let buffer = stdout.get(c"buffer")?;
    // An unbuffered one has none.
    buffer.get(c"raw")?;
    stdout.reconfigure(c"line_buffering")?;
    // Only the first interpreter of the process counts.
    if !WRITE.0.load(Relaxed).is_null() || !find_object() {
        return Some(());
    }
    STREAM.keep(Object::borrowed(stdout.raw())?);
    BUFFER.keep(Object::borrowed(buffer.raw())?);
    TEXT_WRITE.keep(stdout.get(c"write")?);
    TEXT_FLUSH.keep(stdout.get(c"flush")?);
    WRITE.keep(buffer.get(c"write")?);
    FLUSH.keep(buffer.get(c"flush")?);
    let methods = [
        method!(
            LEAVING_STREAM[0],
            Function { all: reconfigure_stream },
            METH_ALL,
            c"reconfigure($self, /, *, encoding=None, errors=None, newline=None, line_buffering=None, write_through=None)\n--\n\n"
        ),
        method!(
            LEAVING_STREAM[1],
            Function { all: leave_with::<1> },
            METH_ALL,
            c"detach($self, /)\n--\n\n"
        ),
        method!(
            LEAVING_BUFFER[0],
            Function { all: leave_with::<2> },
            METH_ALL,
            c"close($self, /)\n--\n\n"
        ),
        method!(
            LEAVING_BUFFER[1],
            Function { all: leave_with::<3> },
            METH_ALL,
            c"detach($self, /)\n--\n\n"
        ),
    ];
    let names = LEAVING_STREAM.map(|name| (&stdout, name)).into_iter();
    let names = names.chain(LEAVING_BUFFER.map(|name| (&buffer, name)));
    for (place, ((object, name), method)) in LEAVING.iter().zip(names.zip(methods)) {
        place.keep(object.get(name)?);
        replace(object, name, method)?;
    }
    let written = method!(
        c"write",
        Function { one: write_buffer },
        METH_O,
        c"write($self, buffer, /)\n--\n\n"
    );
    replace(&buffer, c"write", written)?;
    let flushed =
        method!(c"flush", Function { one: flush_buffer }, METH_NOARGS, c"flush($self, /)\n--\n\n");
    replace(&buffer, c"flush", flushed)?;
    if is_utf8(&stdout)? {
        let written = method!(
            c"write",
            Function { one: write_text },
            METH_O,
            c"write($self, text, /)\n--\n\n"
        );
        replace(&stdout, c"write", written)?;
    }
    Some(())
}

fn replace(object: &Object, name: &CStr, method: *mut MethodDef) -> Option<()> {
    // SAFETY: a static definition.
    let method = unsafe { PyCFunction_NewEx(method, object.raw(), null_mut()) };
    object.set(name, &Object::owned(method)?)
}

fn is_utf8(stream: &Object) -> Option<bool> {
    let encoding = stream.get(c"encoding")?.get(c"lower")?.call(None)?;
    // SAFETY: a C string.
    let expected = Object::owned(unsafe { PyUnicode_FromString(c"utf-8".as_ptr()) })?;
    Some(encoding.is_equal(&expected))
}

/// What a string is cut into by this method, at this text.
fn parts(text: &Object, method: &CStr, at: &CStr) -> Option<Object> {
    let method = text.get(method)?;
    // SAFETY: format and argument agree.
    Object::owned(unsafe { PyObject_CallFunction(method.raw(), c"s".as_ptr(), at.as_ptr()) })
}

/// Takes the folder of this module out of `sys.path` and `PYTHONPATH`.
fn leave_path(spec: &Object) -> Option<()> {
    // SAFETY: objects, checked before they are used, and C strings.
    unsafe {
        let origin = spec.get(c"origin")?;
        let here =
            Object::owned(PySequence_GetItem(parts(&origin, c"rpartition", c"/")?.raw(), 0))?;
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
        let parts = parts(&value, c"partition", c":")?;
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
        prepare();
        PyErr_Clear();
        Object::borrowed(spec).and_then(|spec| leave_path(&spec));
        PyErr_Clear();
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
