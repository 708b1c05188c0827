-- Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
module Main (main) where

import Control.Concurrent
import Control.Exception
import Control.Monad
import qualified Data.ByteString.Char8 as Bytes
import GHC.Clock (getMonotonicTimeNSec)
import GHC.Conc (getNumProcessors)
import Network.Socket
import Network.Socket.ByteString (recv, sendAll)
import System.Timeout

steps :: Int -> Int
steps start = go start 0
  where
    go 1 count = count
    go value count = go (if even value then value `div` 2 else 3 * value + 1) (count + 1 :: Int)

-- Everything up to a mark, or to the end of the stream.
receive :: Socket -> Bytes.ByteString -> IO Bytes.ByteString
receive connection mark = go Bytes.empty
  where
    go text
      | not (Bytes.null mark) && mark `Bytes.isInfixOf` text = return text
      | otherwise = do
          part <- recv connection 4096
          if Bytes.null part then return text else go (text <> part)

-- The library has no HTTP: a few lines of it, on both sides.
answer :: Socket -> IO ()
answer server = bracket (fst <$> accept server) close $ \connection -> do
  request <- receive connection (Bytes.pack "\r\n\r\n")
  let path = Bytes.unpack (Bytes.words request !! 1)
      status = if path == "/page" then "200 OK" else "404 Not Found"
  sendAll connection $ Bytes.pack $ "HTTP/1.0 " ++ status ++ "\r\n\r\nyou asked for " ++ path

ask :: SockAddr -> String -> IO ()
ask address path = bracket (socket AF_INET Stream defaultProtocol) close $ \client -> do
  connect client address
  sendAll client $ Bytes.pack $ "GET " ++ path ++ " HTTP/1.0\r\n\r\n"
  receive client Bytes.empty >>= print

web :: IO ()
web = bracket (socket AF_INET Stream defaultProtocol) close $ \server -> do
  bind server (SockAddrInet 0 (tupleToHostAddress (127, 0, 0, 1)))
  listen server 5
  address <- getSocketName server
  finished <- newEmptyMVar
  _ <- forkFinally (replicateM_ 2 (answer server)) (putMVar finished)
  mapM_ (ask address) ["/page", "/other"]
  takeMVar finished >>= print

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

  web

  -- Nobody can fill this: the collector finds the thread, which waits for ever.
  abandoned <- try (newEmptyMVar >>= takeMVar) :: IO (Either BlockedIndefinitelyOnMVar ())
  print abandoned
  caught <- try (evaluate (1 `div` (0 :: Int))) :: IO (Either ArithException Int)
  print caught
