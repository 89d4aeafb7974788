module Quirk where

main = putStrLn "quirk"
