# Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
use strict;
use warnings;
use threads;
use Digest::SHA qw(sha256_hex);
use Encode qw(decode encode);
use FindBin;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(setitimer sleep time ITIMER_REAL);
use lib "$FindBin::Bin/lib";
use Greeting;

$| = 1;
open my $file, '<', 'data.txt' or die $!;
print Greeting::greeting('Perl'), ' ', <$file>;

# On all processors: each thread has an interpreter of its own.
sub steps {
    my ($index) = @_;
    my $steps = 0;
    for my $start ($index * 2000 + 1 .. ($index + 1) * 2000) {
        for (my $value = $start; $value != 1; $steps++) {
            $value = $value % 2 ? 3 * $value + 1 : $value / 2;
        }
    }
    return $steps;
}
my @threads = map { threads->create(\&steps, $_) } 0 .. 3;
print encode_json([map { $_->join } @threads]), "\n";
print sha256_hex('pith' x 100_000), ' ', length(encode('shiftjis', decode('UTF-8', "\xe6\x97\xa5"))), "\n";

my $fired = 0;
local $SIG{ALRM} = sub { $fired++ };
my $begin = time;
setitimer(ITIMER_REAL, 0.02, 0.02);
sleep 0.01 while $fired < 3;
setitimer(ITIMER_REAL, 0);
print time - $begin >= 0.055 ? "in time\n" : "too early\n";

my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $@;
my $port = $server->sockport;
my $thread = threads->create(sub {
    for (1 .. 2) {
        my $client = $server->accept;
        my ($path) = <$client> =~ m{^GET (\S+)};
        1 while <$client> =~ /\S/;
        my $status = $path eq '/page' ? '200 OK' : '404 Not Found';
        print $client "HTTP/1.0 $status\r\n\r\nyou asked for $path";
        close $client;
    }
});
for my $path ('/page', '/other') {
    my $answer = HTTP::Tiny->new->get("http://127.0.0.1:$port$path");
    print "$answer->{status} $answer->{content}\n";
}
$thread->join;
eval { my $nothing; $nothing->method };
print $@ =~ s/ at .*//sr, "\n";
