require __DIR__ . "/util.php";
echo word(), "\n";
