// SPDX-License-Identifier: MIT OR Apache-2.0
// unsandbox from Deno, through its own FFI (--allow-ffi). Calls run on a thread of their own.

const c = Deno.dlopen("libunsandbox.so.0.1", {
  unsandbox_config_new: { parameters: ["buffer", "buffer"], result: "i32" },
  unsandbox_config_set_base_url: { parameters: ["pointer", "buffer", "usize", "buffer"], result: "i32" },
  unsandbox_config_set_api_key: { parameters: ["pointer", "buffer", "usize", "buffer"], result: "i32" },
  unsandbox_config_free: { parameters: ["pointer"], result: "void" },
  unsandbox_client_from_env: { parameters: ["buffer", "buffer"], result: "i32" },
  unsandbox_client_new: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  unsandbox_client_free: { parameters: ["pointer"], result: "void" },
  unsandbox_client_call_json: {
    parameters: ["pointer", "buffer", "usize", "buffer", "usize", "buffer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  unsandbox_error_name: { parameters: ["pointer", "pointer"], result: "pointer" },
  unsandbox_error_message: { parameters: ["pointer", "pointer"], result: "pointer" },
  unsandbox_error_free: { parameters: ["pointer"], result: "void" },
  unsandbox_string_free: { parameters: ["pointer"], result: "void" },
}).symbols;

/** `code` is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, … */
export class UnsandboxError extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

const slot = () => new BigUint64Array(1);
const pointer = (slot: BigUint64Array) => Deno.UnsafePointer.create(slot[0]);
const bytes = (text: string) => new TextEncoder().encode(text);

function check(status: number, err: BigUint64Array): void {
  if (status === 0) return;
  const [code, message] = [c.unsandbox_error_name, c.unsandbox_error_message].map((part) =>
    Deno.UnsafePointerView.getCString(part(pointer(err), null)!)
  );
  c.unsandbox_error_free(pointer(err));
  throw new UnsandboxError(code, message);
}

/** One client serves the whole program. Without settings they come from the environment. */
export class Client {
  #client: Deno.PointerValue;

  constructor(settings?: { baseUrl: string; apiKey?: string }) {
    const client = slot(), config = slot(), err = slot();
    if (!settings) {
      check(c.unsandbox_client_from_env(client, err), err);
    } else {
      check(c.unsandbox_config_new(config, err), err);
      try {
        const url = bytes(settings.baseUrl), key = bytes(settings.apiKey ?? "");
        check(c.unsandbox_config_set_base_url(pointer(config), url, BigInt(url.length), err), err);
        if (key.length) check(c.unsandbox_config_set_api_key(pointer(config), key, BigInt(key.length), err), err);
        check(c.unsandbox_client_new(pointer(config), client, err), err);
      } finally {
        c.unsandbox_config_free(pointer(config));
      }
    }
    this.#client = pointer(client);
  }

  /** Calls a method ("execute", "run", "get_job", …) with an object, and gives an object. */
  // deno-lint-ignore no-explicit-any
  async call(method: string, fields: Record<string, unknown> = {}): Promise<any> {
    return JSON.parse(await this.callJson(method, JSON.stringify(fields)));
  }

  async callJson(method: string, json: string): Promise<string> {
    const name = bytes(method), body = bytes(json), out = slot(), len = slot(), err = slot();
    const sizes = [BigInt(name.length), BigInt(body.length)];
    check(await c.unsandbox_client_call_json(this.#client, name, sizes[0], body, sizes[1], out, len, err), err);
    const reply = Deno.UnsafePointerView.getArrayBuffer(pointer(out)!, Number(len[0]));
    const text = new TextDecoder().decode(reply);
    c.unsandbox_string_free(pointer(out));
    return text;
  }

  close(): void {
    c.unsandbox_client_free(this.#client);
    this.#client = null;
  }
}
