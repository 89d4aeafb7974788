<?php
// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote: php hello.php

require __DIR__ . '/unsandbox.php';

$client = new Unsandbox\Client();
$result = $client->call('execute', ['language' => 'python', 'code' => 'print(6 * 7)']);
echo $result['stdout'];
exit($result['exit_code']);
