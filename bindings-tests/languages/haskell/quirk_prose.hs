main points of a "text
import words as they come, don't end
module by module

>module Prose where
>
>main = putStrLn "quirk"
