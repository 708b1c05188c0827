# Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
require 'digest'
require 'json'
require 'net/http'
require 'timeout'
require 'webrick'
require_relative 'lib/greeting'

puts greeting('Ruby'), File.read('data.txt')

# On all processors: each has an interpreter of its own.
Warning[:experimental] = false
workers = 4.times.map do |index|
  Ractor.new(index) do |number|
    sum = 0
    (number * 1500 + 1..(number + 1) * 1500).each do |value|
      while value != 1
        value = value.even? ? value / 2 : 3 * value + 1
        sum += 1
      end
    end
    sum
  end
end
puts JSON.generate(workers.map(&:take)), Digest::SHA256.hexdigest('pith' * 100_000)

clock = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
begin_time = clock.call
puts [0.06, 0.02, 0.04].map { |time| Thread.new { sleep time; clock.call - begin_time >= time } }.map(&:value).inspect
begin
  Timeout.timeout(0.05) { sleep }
rescue Timeout::Error => error
  puts error.message
end

server = WEBrick::HTTPServer.new(Port: 0, BindAddress: '127.0.0.1', Logger: WEBrick::Log.new(File::NULL), AccessLog: [])
server.mount_proc('/page') { |request, response| response.body = "you asked for #{request.path}" }
thread = Thread.new { server.start }
port = server.listeners.first.addr[1]
%w[/page /other].each do |path|
  answer = Net::HTTP.get_response('127.0.0.1', path, port)
  puts "#{answer.code} #{answer.body if answer.code == '200'}"
end
server.shutdown
thread.join
begin
  nil.length
rescue NoMethodError => error
  puts error.message.lines.first
end
