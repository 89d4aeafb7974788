<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// unsandbox from PHP through FFI, which reads include/unsandbox.cdef (share/unsandbox where installed).

namespace Unsandbox;

/** getCode() is the library's number; $name is its word: ARGUMENT, CONNECT, TIMEOUT, … */
final class Error extends \RuntimeException
{
    public function __construct(public readonly string $name, string $message, int $code)
    {
        parent::__construct($message, $code);
    }
}

/** One client serves the whole program. Without settings they come from the environment. */
final class Client
{
    private \FFI $c;
    private \FFI\CData $client;

    public function __construct(?string $baseUrl = null, ?string $apiKey = null)
    {
        $cdef = getenv('UNSANDBOX_CDEF') ?: __DIR__ . '/../../../include/unsandbox.cdef';
        $this->c = \FFI::cdef(file_get_contents($cdef), 'libunsandbox.so.0.1');
        $this->client = $this->c->new('unsandbox_client *');
        if ($baseUrl === null) {
            $this->check('unsandbox_client_from_env', \FFI::addr($this->client));
            return;
        }
        $config = $this->c->new('unsandbox_config *');
        $this->check('unsandbox_config_new', \FFI::addr($config));
        try {
            $this->check('unsandbox_config_set_base_url', $config, $baseUrl, strlen($baseUrl));
            if ($apiKey !== null) {
                $this->check('unsandbox_config_set_api_key', $config, $apiKey, strlen($apiKey));
            }
            $this->check('unsandbox_client_new', $config, \FFI::addr($this->client));
        } finally {
            $this->c->unsandbox_config_free($config);
        }
    }

    public function __destruct()
    {
        if (isset($this->client)) {
            $this->c->unsandbox_client_free($this->client);
        }
    }

    /** Calls a method ("execute", "run", "get_job", …) with fields, and gives fields. */
    public function call(string $method, array $fields = []): array
    {
        $json = json_encode((object) $fields, JSON_THROW_ON_ERROR);
        return json_decode($this->callJson($method, $json), true, 512, JSON_THROW_ON_ERROR);
    }

    public function callJson(string $method, string $json): string
    {
        $out = $this->c->new('char *');
        $len = $this->c->new('size_t');
        $words = [$this->client, $method, strlen($method), $json, strlen($json)];
        $this->check('unsandbox_client_call_json', ...$words, ...[\FFI::addr($out), \FFI::addr($len)]);
        $text = \FFI::string($out, $len->cdata);
        $this->c->unsandbox_string_free($out);
        return $text;
    }

    /** Calls a function whose last argument receives an error. */
    private function check(string $name, mixed ...$words): void
    {
        $err = $this->c->new('unsandbox_error *');
        $code = $this->c->$name(...[...$words, \FFI::addr($err)]);
        if ($code === 0) {
            return;
        }
        $error = new Error($this->c->unsandbox_error_name($err, null), $this->c->unsandbox_error_message($err, null), $code);
        $this->c->unsandbox_error_free($err);
        throw $error;
    }
}
