while read line
    string upper -- $line
end
