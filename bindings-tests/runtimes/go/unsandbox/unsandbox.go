// SPDX-License-Identifier: MIT OR Apache-2.0

// Package unsandbox runs code of any language in a sandbox, through libunsandbox and cgo.
//
// pkg-config finds the library: set PKG_CONFIG_PATH to PREFIX/lib/pkgconfig where it is in a prefix of its own.
package unsandbox

/*
#cgo pkg-config: unsandbox
#include <stdlib.h>
#include <unsandbox.h>
*/
import "C"

import (
	"encoding/json"
	"runtime"
	"unsafe"
)

// Error is what the library says; Code is a word of its table: ARGUMENT, CONNECT, TIMEOUT, …
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

func failure(status C.int32_t, err *C.unsandbox_error) error {
	if status == C.UNSANDBOX_OK {
		return nil
	}
	defer C.unsandbox_error_free(err)
	return &Error{C.GoString(C.unsandbox_error_name(err, nil)), C.GoString(C.unsandbox_error_message(err, nil))}
}

// text lends a string to a call; the caller keeps the string alive.
func text(s string) (*C.char, C.size_t) {
	if s == "" {
		return nil, 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// Client may be used by any number of goroutines.
type Client struct{ handle *C.unsandbox_client }

// FromEnv takes endpoint and key from the environment.
func FromEnv() (*Client, error) {
	var handle *C.unsandbox_client
	var err *C.unsandbox_error
	if status := C.unsandbox_client_from_env(&handle, &err); status != C.UNSANDBOX_OK {
		return nil, failure(status, err)
	}
	return &Client{handle}, nil
}

// New makes a client of one endpoint; the key may be empty.
func New(baseURL, apiKey string) (*Client, error) {
	var config *C.unsandbox_config
	var err *C.unsandbox_error
	if status := C.unsandbox_config_new(&config, &err); status != C.UNSANDBOX_OK {
		return nil, failure(status, err)
	}
	defer C.unsandbox_config_free(config)
	data, size := text(baseURL)
	if status := C.unsandbox_config_set_base_url(config, data, size, &err); status != C.UNSANDBOX_OK {
		return nil, failure(status, err)
	}
	if apiKey != "" {
		data, size = text(apiKey)
		if status := C.unsandbox_config_set_api_key(config, data, size, &err); status != C.UNSANDBOX_OK {
			return nil, failure(status, err)
		}
	}
	var handle *C.unsandbox_client
	if status := C.unsandbox_client_new(config, &handle, &err); status != C.UNSANDBOX_OK {
		return nil, failure(status, err)
	}
	return &Client{handle}, nil
}

// Close frees the client; no call may be under way.
func (c *Client) Close() { C.unsandbox_client_free(c.handle); c.handle = nil }

// CallJSON calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.
func (c *Client) CallJSON(method, body string) ([]byte, error) {
	var out *C.char
	var length C.size_t
	var err *C.unsandbox_error
	name, nameLen := text(method)
	data, dataLen := text(body)
	status := C.unsandbox_client_call_json(c.handle, name, nameLen, data, dataLen, &out, &length, &err)
	runtime.KeepAlive(body)
	if status != C.UNSANDBOX_OK {
		return nil, failure(status, err)
	}
	defer C.unsandbox_string_free(out)
	return C.GoBytes(unsafe.Pointer(out), C.int(length)), nil
}

// Result has the fields that most programs want; CallJSON gives all of them.
type Result struct {
	Success  bool   `json:"success"`
	Status   string `json:"status"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	ExitCode int    `json:"exit_code"`
	JobID    string `json:"job_id"`
}

// Execute runs a program and waits for its result.
func (c *Client) Execute(language, code string) (*Result, error) {
	body, err := json.Marshal(map[string]string{"language": language, "code": code})
	if err != nil {
		return nil, err
	}
	reply, err := c.CallJSON("execute", string(body))
	if err != nil {
		return nil, err
	}
	result := &Result{}
	return result, json.Unmarshal(reply, result)
}
