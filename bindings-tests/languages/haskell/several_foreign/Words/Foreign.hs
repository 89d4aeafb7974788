{-# LANGUAGE ForeignFunctionInterface #-}
module Words.Foreign (count) where

import Foreign.C.Types

foreign import ccall "count" count :: CInt -> IO CInt
