package Greeting;

sub greeting { return "hello from $_[0]" }

1;
