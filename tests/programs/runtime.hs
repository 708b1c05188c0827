-- Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
module Main (main) where

import Control.Concurrent
import Control.Exception
import Control.Monad
import GHC.Clock (getMonotonicTimeNSec)
import GHC.Conc (getNumProcessors)
import System.Timeout

steps :: Int -> Int
steps start = go start 0
  where
    go 1 count = count
    go value count = go (if even value then value `div` 2 else 3 * value + 1) (count + 1 :: Int)

main :: IO ()
main = do
  putStrLn "hello from Haskell"
  -- On all processors: the program is linked with a runtime that has as many threads.
  processors <- getNumProcessors
  setNumCapabilities processors
  results <- forM [0 .. 3] $ \index -> do
    result <- newEmptyMVar
    _ <- forkIO $ putMVar result $! sum (map steps [index * 30000 + 1 .. (index + 1) * 30000])
    return result
  mapM takeMVar results >>= print

  begin <- getMonotonicTimeNSec
  inTime <- newChan
  forM_ [60, 20, 40] $ \time -> forkIO $ do
    threadDelay (time * 1000)
    end <- getMonotonicTimeNSec
    writeChan inTime (end - begin >= fromIntegral time * 1000000)
  replicateM 3 (readChan inTime) >>= print
  timeout 50000 (forever $ threadDelay 1000000) >>= \ended -> print (ended :: Maybe ())

  caught <- try (evaluate (1 `div` (0 :: Int))) :: IO (Either ArithException Int)
  print caught
