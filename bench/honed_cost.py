#!/usr/bin/env python3
"""Processor time for the same load (5 s of 64-byte datagrams at 12 Mbit/s), in process and through honed with one reader.

    sudo bench/honed_cost.py HONEUTIL HONED

Sums the time of honed and its reader, from /proc/PID/task/*/schedstat: ticks are too coarse. Needs iperf3 and root.
"""
import subprocess,time,os,signal,re,sys,tempfile
U, D = sys.argv[1:]
W = tempfile.mkdtemp()
ns='hone-cost-%d'%os.getpid()
def cpu(p):
    return sum(int(open(f'/proc/{p.pid}/task/{t}/schedstat').read().split()[0]) for t in os.listdir(f'/proc/{p.pid}/task'))/1e9
subprocess.run(['ip','netns','add',ns],check=True)
try:
    subprocess.run(['ip','-n',ns,'link','set','lo','up'],check=True)
    for r in range(2):
        for case in ('local','honed'):
            svc=None
            if case=='honed':
                svc=subprocess.Popen([D,'--socket',W+'/sock'],stderr=subprocess.DEVNULL)
                time.sleep(1.5)
            log=open(W+'/log','w+')
            rd=subprocess.Popen([U,'read','-s','96','-w','/dev/null']+(['--socket',W+'/sock'] if svc else ['--local']),stderr=log)
            time.sleep(1.5)
            i=cpu(svc) if svc else 0; time.sleep(1)
            b=cpu(rd)+(cpu(svc) if svc else 0)
            s=subprocess.Popen(['ip','netns','exec',ns,'iperf3','-s','-1'],stdout=subprocess.DEVNULL); time.sleep(.4)
            subprocess.run(['ip','netns','exec',ns,'iperf3','-c','127.0.0.1','-t','5','-u','-b','12M','-l','64'],stdout=subprocess.DEVNULL); s.wait(10)
            time.sleep(.3)
            a=cpu(rd)+(cpu(svc) if svc else 0)
            rss=re.findall(r'(VmRSS|RssAnon):\s+(\d+)',open(f'/proc/{(svc or rd).pid}/status').read())
            rd.send_signal(signal.SIGINT); rd.wait(20); log.seek(0); t=log.read()
            if svc: svc.send_signal(signal.SIGTERM); svc.wait(20)
            print(case, round(a-b,3), 's CPU;', [l for l in t.splitlines() if l.startswith(('Recorded','Dropped'))], rss, flush=True)
finally: subprocess.run(['ip','netns','del',ns])
