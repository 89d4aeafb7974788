// SPDX-License-Identifier: MIT OR Apache-2.0

// Package unsandbox runs code of any language in a sandbox, through libunsandbox and purego: it builds
// without a C compiler (CGO_ENABLED=0), and finds the library when the program starts.
package unsandbox

import (
	"encoding/json"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Error is what the library says; Code is a word of its table: ARGUMENT, CONNECT, TIMEOUT, …
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// Objects of the library are addresses, which Go's collector does not look at.
type (
	handle  = uintptr
	pointer = unsafe.Pointer
)

var lib struct {
	clientFromEnv    func(client, err *handle) int32
	clientNew        func(config handle, client, err *handle) int32
	clientCallJSON   func(client handle, method pointer, methodLen uintptr, body pointer, bodyLen uintptr, out *pointer, outLen *uintptr, err *handle) int32
	clientFree       func(client handle)
	configNew        func(config, err *handle) int32
	configSetBaseURL func(config handle, url pointer, urlLen uintptr, err *handle) int32
	configSetAPIKey  func(config handle, key pointer, keyLen uintptr, err *handle) int32
	configFree       func(config handle)
	errorName        func(err handle, length *uintptr) string
	errorMessage     func(err handle, length *uintptr) string
	errorFree        func(err handle)
	stringFree       func(text pointer)
}

func init() {
	library, err := purego.Dlopen("libunsandbox.so.0.1", purego.RTLD_NOW)
	if err != nil {
		panic(err)
	}
	for name, function := range map[string]any{
		"client_from_env": &lib.clientFromEnv, "client_new": &lib.clientNew,
		"client_call_json": &lib.clientCallJSON, "client_free": &lib.clientFree,
		"config_new": &lib.configNew, "config_set_base_url": &lib.configSetBaseURL,
		"config_set_api_key": &lib.configSetAPIKey, "config_free": &lib.configFree,
		"error_name": &lib.errorName, "error_message": &lib.errorMessage, "error_free": &lib.errorFree,
		"string_free": &lib.stringFree,
	} {
		purego.RegisterLibFunc(function, library, "unsandbox_"+name)
	}
}

func failure(status int32, err handle) error {
	if status == 0 {
		return nil
	}
	defer lib.errorFree(err)
	return &Error{lib.errorName(err, nil), lib.errorMessage(err, nil)}
}

// text lends a string to a call; the caller keeps the string alive.
func text(s string) (pointer, uintptr) {
	return pointer(unsafe.StringData(s)), uintptr(len(s))
}

// Client may be used by any number of goroutines.
type Client struct{ handle handle }

// FromEnv takes endpoint and key from the environment.
func FromEnv() (*Client, error) {
	var client, err handle
	status := lib.clientFromEnv(&client, &err)
	return &Client{client}, failure(status, err)
}

// New makes a client of one endpoint; the key may be empty.
func New(baseURL, apiKey string) (*Client, error) {
	var config, client, err handle
	if status := lib.configNew(&config, &err); status != 0 {
		return nil, failure(status, err)
	}
	defer lib.configFree(config)
	data, size := text(baseURL)
	status := lib.configSetBaseURL(config, data, size, &err)
	if status == 0 && apiKey != "" {
		data, size = text(apiKey)
		status = lib.configSetAPIKey(config, data, size, &err)
	}
	if status == 0 {
		status = lib.clientNew(config, &client, &err)
	}
	return &Client{client}, failure(status, err)
}

// Close frees the client; no call may be under way.
func (c *Client) Close() { lib.clientFree(c.handle); c.handle = 0 }

// CallJSON calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.
func (c *Client) CallJSON(method, body string) ([]byte, error) {
	var out pointer
	var length uintptr
	var err handle
	name, nameLen := text(method)
	data, dataLen := text(body)
	status := lib.clientCallJSON(c.handle, name, nameLen, data, dataLen, &out, &length, &err)
	runtime.KeepAlive(method)
	runtime.KeepAlive(body)
	if status != 0 {
		return nil, failure(status, err)
	}
	defer lib.stringFree(out)
	return append([]byte(nil), unsafe.Slice((*byte)(out), length)...), nil
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
