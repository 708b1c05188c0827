#define _GNU_SOURCE
#include <stdio.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <string.h>
#include <errno.h>
#include <pthread.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <poll.h>
#include <stdint.h>
static volatile int hits, vals; static void h(int s, siginfo_t*i, void*c){ hits++; vals=i->si_value.sival_int; if(i->si_code!=SI_TIMER) hits=-100; }
static void h2(int s){ hits++; }
static void *thr(void*p){ sigset_t s; sigemptyset(&s); sigaddset(&s,SIGUSR1); int sig; sigwait(&s,&sig); return (void*)(long)sig; }
static volatile pthread_t where; static void hw(int s){ where=pthread_self(); }
static void *sl(void*p){ struct timespec t={5,0}; int r=nanosleep(&t,0); return (void*)(long)(r==-1&&errno==EINTR); }
int main(){ struct sigaction sa={.sa_sigaction=h,.sa_flags=SA_SIGINFO}; sigaction(SIGRTMIN+1,&sa,0); timer_t t; struct sigevent e={.sigev_notify=SIGEV_SIGNAL,.sigev_signo=SIGRTMIN+1}; e.sigev_value.sival_int=42; printf("create %d\n",timer_create(CLOCK_MONOTONIC,&e,&t)); struct itimerspec it={{0,10000000},{0,10000000}}; timer_settime(t,0,&it,0); while(hits<5) pause(); printf("vals %d\n",vals); it.it_value.tv_nsec=0; timer_settime(t,0,&it,0); timer_delete(t);
 int fd=timerfd_create(CLOCK_MONOTONIC,0); struct itimerspec f={{0,5000000},{0,20000000}}; timerfd_settime(fd,0,&f,0); uint64_t n; read(fd,&n,8); printf("tfd %d\n",n>=1); struct pollfd p={fd,POLLIN}; printf("poll %d\n",poll(&p,1,1000)); close(fd);
 sigset_t s; sigemptyset(&s); sigaddset(&s,SIGUSR1); sigaddset(&s,SIGUSR2); pthread_sigmask(SIG_BLOCK,&s,0); pthread_t th; pthread_create(&th,0,thr,0); usleep(20000); kill(getpid(),SIGUSR1); void*v; pthread_join(th,&v); printf("sigwait %ld\n",(long)v);
 int sfd=signalfd(-1,&s,0); raise(SIGUSR2); struct signalfd_siginfo si; read(sfd,&si,sizeof si); printf("sfd %d %d\n",si.ssi_signo,si.ssi_code);
 signal(SIGUSR1,hw); 
 struct sigaction sb={.sa_handler=h2}; sigaction(SIGALRM,&sb,0); hits=0; struct itimerval iv={{0,5000},{0,5000}}; setitimer(ITIMER_REAL,&iv,0); while(hits<3) pause(); memset(&iv,0,sizeof iv); setitimer(ITIMER_REAL,&iv,0); printf("alarm\n");
 sigaction(SIGPROF,&sb,0); hits=0; iv.it_value.tv_usec=iv.it_interval.tv_usec=10000; setitimer(ITIMER_PROF,&iv,0); volatile long x=0; while(hits<3) x++; memset(&iv,0,sizeof iv); setitimer(ITIMER_PROF,&iv,0); printf("prof\n");
 pthread_sigmask(SIG_UNBLOCK,&s,0); sigaction(SIGUSR2,&sb,0); pthread_create(&th,0,sl,0); usleep(20000); pthread_kill(th,SIGUSR2); pthread_join(th,&v); printf("eintr %ld\n",(long)v);
 struct timespec c; clockid_t cid; pthread_getcpuclockid(pthread_self(),&cid); printf("cpuclock %d\n",clock_gettime(cid,&c)); clock_getcpuclockid(0,&cid); printf("cpuclock %d\n",clock_gettime(cid,&c));
 struct timespec w; clock_gettime(CLOCK_REALTIME,&w); printf("wall %d\n", w.tv_sec>1700000000);
 return 0;}
