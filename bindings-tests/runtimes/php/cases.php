<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Answers the lines of ../driver.py.

require __DIR__ . '/unsandbox.php';

ini_set('memory_limit', '-1');
$clients = [];
while (($line = fgets(STDIN)) !== false) {
    [$url, $key, $method, $json] = explode("\t", rtrim($line, "\n"));
    try {
        $clients["$url\t$key"] ??= new Unsandbox\Client($url, $key === '-' ? null : $key);
        $reply = $clients["$url\t$key"]->callJson($method, $json);
        echo "ok\t$reply\n";
    } catch (Unsandbox\Error $error) {
        echo $error->name, "\t", $error->getMessage(), "\n";
    }
}
