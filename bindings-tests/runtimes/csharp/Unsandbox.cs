// SPDX-License-Identifier: MIT OR Apache-2.0
// unsandbox from C#, through P/Invoke.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Unsandbox {
    /// <summary>Code is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, …</summary>
    public sealed class UnsandboxException : Exception {
        public string Code { get; private set; }
        internal UnsandboxException(string code, string message) : base(message) { Code = code; }
    }

    /// <summary>What most programs want of a result; CallJson gives all of it.</summary>
    public sealed class Result {
        public byte[] Stdout, Stderr;
        public int ExitCode;
    }

    /// <summary>One client serves all threads.</summary>
    public sealed class Client : IDisposable {
        const string Library = "libunsandbox.so.0.1";
        [DllImport(Library)] static extern int unsandbox_config_new(out IntPtr config, out IntPtr err);
        [DllImport(Library)] static extern int unsandbox_config_set_base_url(IntPtr config, byte[] url, UIntPtr len, out IntPtr err);
        [DllImport(Library)] static extern int unsandbox_config_set_api_key(IntPtr config, byte[] key, UIntPtr len, out IntPtr err);
        [DllImport(Library)] static extern void unsandbox_config_free(IntPtr config);
        [DllImport(Library)] static extern int unsandbox_client_from_env(out IntPtr client, out IntPtr err);
        [DllImport(Library)] static extern int unsandbox_client_new(IntPtr config, out IntPtr client, out IntPtr err);
        [DllImport(Library)] static extern void unsandbox_client_free(IntPtr client);
        [DllImport(Library)] static extern int unsandbox_client_execute(IntPtr client, IntPtr request, IntPtr options, out IntPtr result, out IntPtr err);
        [DllImport(Library)] static extern int unsandbox_client_call_json(IntPtr client, byte[] method, UIntPtr methodLen, byte[] json, UIntPtr jsonLen, out IntPtr reply, out UIntPtr replyLen, out IntPtr err);
        [DllImport(Library)] static extern int unsandbox_request_new(byte[] language, UIntPtr languageLen, byte[] code, UIntPtr codeLen, out IntPtr request, out IntPtr err);
        [DllImport(Library)] static extern void unsandbox_request_free(IntPtr request);
        [DllImport(Library)] static extern IntPtr unsandbox_result_stdout(IntPtr result, out UIntPtr len);
        [DllImport(Library)] static extern IntPtr unsandbox_result_stderr(IntPtr result, out UIntPtr len);
        [DllImport(Library)] static extern int unsandbox_result_exit_code(IntPtr result);
        [DllImport(Library)] static extern void unsandbox_result_free(IntPtr result);
        [DllImport(Library)] static extern IntPtr unsandbox_error_name(IntPtr error, out UIntPtr len);
        [DllImport(Library)] static extern IntPtr unsandbox_error_message(IntPtr error, out UIntPtr len);
        [DllImport(Library)] static extern void unsandbox_error_free(IntPtr error);
        [DllImport(Library)] static extern void unsandbox_string_free(IntPtr text);

        IntPtr client;

        /// <summary>Endpoint and key come from the environment.</summary>
        public Client() {
            IntPtr err;
            Check(unsandbox_client_from_env(out client, out err), err);
        }

        /// <summary>One endpoint; the key may be null.</summary>
        public Client(string baseUrl, string apiKey) {
            IntPtr config, err;
            Check(unsandbox_config_new(out config, out err), err);
            try {
                byte[] url = Bytes(baseUrl);
                Check(unsandbox_config_set_base_url(config, url, Size(url), out err), err);
                if (apiKey != null) {
                    byte[] key = Bytes(apiKey);
                    Check(unsandbox_config_set_api_key(config, key, Size(key), out err), err);
                }
                Check(unsandbox_client_new(config, out client, out err), err);
            } finally {
                unsandbox_config_free(config);
            }
        }

        /// <summary>Runs a program and waits for its result.</summary>
        public Result Execute(string language, string code) {
            IntPtr request, result, err;
            byte[] name = Bytes(language), text = Bytes(code);
            Check(unsandbox_request_new(name, Size(name), text, Size(text), out request, out err), err);
            try {
                Check(unsandbox_client_execute(client, request, IntPtr.Zero, out result, out err), err);
            } finally {
                unsandbox_request_free(request);
            }
            UIntPtr length;
            var copy = new Result();
            copy.Stdout = Copy(unsandbox_result_stdout(result, out length), length);
            copy.Stderr = Copy(unsandbox_result_stderr(result, out length), length);
            copy.ExitCode = unsandbox_result_exit_code(result);
            unsandbox_result_free(result);
            return copy;
        }

        /// <summary>Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.</summary>
        public string CallJson(string method, string json) {
            IntPtr reply, err;
            UIntPtr length;
            byte[] name = Bytes(method), body = Bytes(json);
            Check(unsandbox_client_call_json(client, name, Size(name), body, Size(body), out reply, out length, out err), err);
            string text = Encoding.UTF8.GetString(Copy(reply, length));
            unsandbox_string_free(reply);
            return text;
        }

        public void Dispose() {
            unsandbox_client_free(client);
            client = IntPtr.Zero;
        }

        static byte[] Bytes(string text) { return Encoding.UTF8.GetBytes(text); }
        static UIntPtr Size(byte[] bytes) { return (UIntPtr)(ulong)bytes.LongLength; }
        static byte[] Copy(IntPtr data, UIntPtr length) {
            var copy = new byte[(ulong)length];
            if (copy.Length > 0) Marshal.Copy(data, copy, 0, copy.Length);
            return copy;
        }

        static void Check(int status, IntPtr err) {
            if (status == 0) return;
            UIntPtr length;
            string code = Encoding.UTF8.GetString(Copy(unsandbox_error_name(err, out length), length));
            string message = Encoding.UTF8.GetString(Copy(unsandbox_error_message(err, out length), length));
            unsandbox_error_free(err);
            throw new UnsandboxException(code, message);
        }
    }
}
