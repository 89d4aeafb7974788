// SPDX-License-Identifier: MIT OR Apache-2.0
// unsandbox from Node through koffi (npm install koffi). Calls run on a thread of the pool, so the event
// loop goes on.
'use strict';
const koffi = require('koffi');
const { promisify } = require('node:util');

const lib = koffi.load('libunsandbox.so.0.1');
const c = {
  configNew: lib.func('int unsandbox_config_new(_Out_ void **config, _Out_ void **err)'),
  setBaseUrl: lib.func('int unsandbox_config_set_base_url(void *config, const uint8_t *text, size_t len, _Out_ void **err)'),
  setApiKey: lib.func('int unsandbox_config_set_api_key(void *config, const uint8_t *text, size_t len, _Out_ void **err)'),
  configFree: lib.func('void unsandbox_config_free(void *config)'),
  fromEnv: lib.func('int unsandbox_client_from_env(_Out_ void **client, _Out_ void **err)'),
  clientNew: lib.func('int unsandbox_client_new(void *config, _Out_ void **client, _Out_ void **err)'),
  clientFree: lib.func('void unsandbox_client_free(void *client)'),
  callJson: lib.func('int unsandbox_client_call_json(void *client, const uint8_t *method, size_t method_len, const uint8_t *json, size_t json_len, _Out_ void **out, _Out_ size_t *out_len, _Out_ void **err)'),
  errorName: lib.func('const char *unsandbox_error_name(void *error, void *len)'),
  errorMessage: lib.func('const char *unsandbox_error_message(void *error, void *len)'),
  errorFree: lib.func('void unsandbox_error_free(void *error)'),
  stringFree: lib.func('void unsandbox_string_free(void *string)'),
};
const callJsonAsync = promisify(c.callJson.async);

/** `code` is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, … */
class UnsandboxError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function check(status, err) {
  if (status === 0) return;
  const error = new UnsandboxError(c.errorName(err[0], null), c.errorMessage(err[0], null));
  c.errorFree(err[0]);
  throw error;
}

function settings(baseUrl, apiKey) {
  const config = [null], err = [null];
  check(c.configNew(config, err), err);
  try {
    const set = (call, text) => {
      const bytes = Buffer.from(text);
      check(call(config[0], bytes, bytes.length, err), err);
    };
    set(c.setBaseUrl, baseUrl);
    if (apiKey) set(c.setApiKey, apiKey);
  } catch (error) {
    c.configFree(config[0]);
    throw error;
  }
  return config[0];
}

/** One client serves the whole program. Without settings they come from the environment. */
class Client {
  #client;

  constructor({ baseUrl, apiKey } = {}) {
    const client = [null], err = [null];
    if (baseUrl === undefined) {
      check(c.fromEnv(client, err), err);
    } else {
      const config = settings(baseUrl, apiKey);
      const status = c.clientNew(config, client, err);
      c.configFree(config);
      check(status, err);
    }
    this.#client = client[0];
  }

  /** Calls a method ("execute", "run", "get_job", …) with an object, and gives an object. */
  async call(method, fields = {}) {
    return JSON.parse(await this.callJson(method, JSON.stringify(fields)));
  }

  async callJson(method, json) {
    const out = [null], len = [0], err = [null];
    const name = Buffer.from(method), body = Buffer.from(json);
    check(await callJsonAsync(this.#client, name, name.length, body, body.length, out, len, err), err);
    const text = Buffer.from(koffi.decode(out[0], koffi.array('uint8_t', Number(len[0]), 'Typed'))).toString();
    c.stringFree(out[0]);
    return text;
  }

  close() {
    c.clientFree(this.#client);
    this.#client = null;
  }
}

module.exports = { Client, UnsandboxError };
