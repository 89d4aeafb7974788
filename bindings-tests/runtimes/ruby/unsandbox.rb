# SPDX-License-Identifier: MIT OR Apache-2.0
# unsandbox from Ruby: fiddle is part of Ruby, and lets other threads run during a call.

require "fiddle/import"
require "json"

module Unsandbox
  module C
    extend Fiddle::Importer
    dlload "libunsandbox.so.0.1"
    extern "int unsandbox_config_new(void *, void *)"
    extern "int unsandbox_config_set_base_url(void *, void *, size_t, void *)"
    extern "int unsandbox_config_set_api_key(void *, void *, size_t, void *)"
    extern "void unsandbox_config_free(void *)"
    extern "int unsandbox_client_from_env(void *, void *)"
    extern "int unsandbox_client_new(void *, void *, void *)"
    extern "void unsandbox_client_free(void *)"
    extern "int unsandbox_client_call_json(void *, void *, size_t, void *, size_t, void *, void *, void *)"
    extern "void *unsandbox_error_name(void *, void *)"
    extern "void *unsandbox_error_message(void *, void *)"
    extern "void unsandbox_error_free(void *)"
    extern "void unsandbox_string_free(void *)"
  end

  # `code` is a word of the library's table of errors: ARGUMENT, CONNECT, TIMEOUT, …
  class Error < StandardError
    attr_reader :code

    def initialize(code, message)
      super(message)
      @code = code
    end
  end

  # Where an output is written to: eight bytes that hold a pointer or a length.
  def self.slot = Fiddle::Pointer.malloc(8, Fiddle::RUBY_FREE).tap { |slot| slot[0, 8] = "\0" * 8 }
  def self.value(slot) = slot[0, 8].unpack1("J")

  # Calls a function whose last argument receives an error.
  def self.check(name, *words)
    err = slot
    return if C.public_send(name, *words, err).zero?
    code, text = %i[name message].map do |part|
      C.public_send(:"unsandbox_error_#{part}", value(err), nil).to_s.force_encoding("UTF-8")
    end
    C.unsandbox_error_free(value(err))
    raise Error.new(code, text)
  end

  # One client serves all threads. Without settings they come from the environment.
  class Client
    def initialize(base_url: nil, api_key: nil)
      slot = Unsandbox.slot
      if base_url
        config = Unsandbox.slot
        Unsandbox.check(:unsandbox_config_new, config)
        begin
          set(config, :unsandbox_config_set_base_url, base_url)
          set(config, :unsandbox_config_set_api_key, api_key) if api_key
          Unsandbox.check(:unsandbox_client_new, Unsandbox.value(config), slot)
        ensure
          C.unsandbox_config_free(Unsandbox.value(config))
        end
      else
        Unsandbox.check(:unsandbox_client_from_env, slot)
      end
      @client = Unsandbox.value(slot)
    end

    # Calls a method ("execute", "run", "get_job", …) with a hash, and gives a hash.
    def call(method, **fields) = JSON.parse(call_json(method.to_s, JSON.generate(fields)))

    def call_json(method, json)
      out, len = Unsandbox.slot, Unsandbox.slot
      Unsandbox.check(:unsandbox_client_call_json, @client, method, method.bytesize, json, json.bytesize, out, len)
      text = Fiddle::Pointer.new(Unsandbox.value(out))[0, Unsandbox.value(len)].force_encoding("UTF-8")
      C.unsandbox_string_free(Unsandbox.value(out))
      text
    end

    def close
      C.unsandbox_client_free(@client)
      @client = nil
    end

    private

    def set(config, name, text) = Unsandbox.check(name, Unsandbox.value(config), text, text.bytesize)
  end
end
