require_once __DIR__ . '/lib/words.php';
spl_autoload_register(function ($name) { require __DIR__ . "/classes/$name.php"; });
$text = <<<END
<?php it's
END;
echo first(), trim(file_get_contents(__DIR__ . '/middle.txt')), (new Last)->word, "\n";
