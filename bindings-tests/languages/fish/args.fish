for arg in $argv
    echo $arg
end
