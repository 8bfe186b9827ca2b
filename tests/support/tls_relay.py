#!/usr/bin/python3
"""Ends TLS in front of a server of this machine that knows none, for tests.

usage: tls_relay.py FD PEM PORT    FD: a listening socket, inherited; PEM: certificate and key; PORT: the server's
"""
import socket
import ssl
import sys
import threading


def copy(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone: so does the other
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def relay(context, plain, port):
    try:
        near = context.wrap_socket(plain, server_side=True)
    except OSError:  # the client does not like the certificate
        return
    far = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=copy, args=(far, near), daemon=True).start()
    copy(near, far)


def main():
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.setblocking(True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=relay, args=(context, plain, int(sys.argv[3])), daemon=True).start()


main()
