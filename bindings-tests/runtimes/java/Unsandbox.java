// SPDX-License-Identifier: MIT OR Apache-2.0
// unsandbox from Java through JNA. A size_t is a long: this is for 64-bit systems.

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.nio.charset.StandardCharsets;

/** One client serves all threads. */
public final class Unsandbox implements AutoCloseable {
    private interface C extends Library {
        C LIBRARY = Native.load("libunsandbox.so.0.1", C.class);

        int unsandbox_config_new(PointerByReference config, PointerByReference err);
        int unsandbox_config_set_base_url(Pointer config, byte[] url, long len, PointerByReference err);
        int unsandbox_config_set_api_key(Pointer config, byte[] key, long len, PointerByReference err);
        void unsandbox_config_free(Pointer config);
        int unsandbox_client_from_env(PointerByReference client, PointerByReference err);
        int unsandbox_client_new(Pointer config, PointerByReference client, PointerByReference err);
        void unsandbox_client_free(Pointer client);
        int unsandbox_client_execute(
                Pointer client, Pointer request, Pointer options, PointerByReference result, PointerByReference err);
        int unsandbox_client_call_json(
                Pointer client, byte[] method, long methodLen, byte[] json, long jsonLen,
                PointerByReference out, LongByReference outLen, PointerByReference err);
        int unsandbox_request_new(
                byte[] language, long languageLen, byte[] code, long codeLen,
                PointerByReference request, PointerByReference err);
        void unsandbox_request_free(Pointer request);
        Pointer unsandbox_result_stdout(Pointer result, LongByReference len);
        Pointer unsandbox_result_stderr(Pointer result, LongByReference len);
        int unsandbox_result_exit_code(Pointer result);
        void unsandbox_result_free(Pointer result);
        Pointer unsandbox_error_name(Pointer error, Pointer len);
        Pointer unsandbox_error_message(Pointer error, Pointer len);
        void unsandbox_error_free(Pointer error);
        void unsandbox_string_free(Pointer string);
    }

    /** {@code code} is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, … */
    public static final class Failure extends RuntimeException {
        public final String code;

        Failure(Pointer error) {
            super(C.LIBRARY.unsandbox_error_message(error, null).getString(0, "UTF-8"));
            code = C.LIBRARY.unsandbox_error_name(error, null).getString(0, "UTF-8");
            C.LIBRARY.unsandbox_error_free(error);
        }
    }

    /** What most programs want of a result; {@link #callJson} gives all of it. */
    public record Result(byte[] stdout, byte[] stderr, int exitCode) {}

    private static final C c = C.LIBRARY;
    private Pointer client;

    /** Endpoint and key come from the environment. */
    public Unsandbox() {
        PointerByReference slot = new PointerByReference(), err = new PointerByReference();
        check(c.unsandbox_client_from_env(slot, err), err);
        client = slot.getValue();
    }

    /** One endpoint; the key may be null. */
    public Unsandbox(String baseUrl, String apiKey) {
        PointerByReference slot = new PointerByReference(), err = new PointerByReference();
        check(c.unsandbox_config_new(slot, err), err);
        Pointer config = slot.getValue();
        try {
            byte[] url = bytes(baseUrl);
            check(c.unsandbox_config_set_base_url(config, url, url.length, err), err);
            if (apiKey != null) {
                byte[] key = bytes(apiKey);
                check(c.unsandbox_config_set_api_key(config, key, key.length, err), err);
            }
            check(c.unsandbox_client_new(config, slot, err), err);
        } finally {
            c.unsandbox_config_free(config);
        }
        client = slot.getValue();
    }

    /** Runs a program and waits for its result. */
    public Result execute(String language, String code) {
        PointerByReference slot = new PointerByReference(), err = new PointerByReference();
        byte[] name = bytes(language), text = bytes(code);
        check(c.unsandbox_request_new(name, name.length, text, text.length, slot, err), err);
        Pointer request = slot.getValue();
        try {
            check(c.unsandbox_client_execute(client, request, null, slot, err), err);
        } finally {
            c.unsandbox_request_free(request);
        }
        Pointer result = slot.getValue();
        LongByReference out = new LongByReference(), errors = new LongByReference();
        Pointer stdout = c.unsandbox_result_stdout(result, out), stderr = c.unsandbox_result_stderr(result, errors);
        Result copy = new Result(
                stdout.getByteArray(0, (int) out.getValue()), stderr.getByteArray(0, (int) errors.getValue()),
                c.unsandbox_result_exit_code(result));
        c.unsandbox_result_free(result);
        return copy;
    }

    /** Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON. */
    public String callJson(String method, String json) {
        PointerByReference out = new PointerByReference(), err = new PointerByReference();
        LongByReference len = new LongByReference();
        byte[] name = bytes(method), body = bytes(json);
        check(c.unsandbox_client_call_json(client, name, name.length, body, body.length, out, len, err), err);
        byte[] reply = out.getValue().getByteArray(0, (int) len.getValue());
        c.unsandbox_string_free(out.getValue());
        return new String(reply, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        c.unsandbox_client_free(client);
        client = null;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void check(int status, PointerByReference err) {
        if (status != 0) throw new Failure(err.getValue());
    }
}
