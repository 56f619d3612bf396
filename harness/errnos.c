/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The errors of Linux by name and by number. The numbers come from <errno.h>, so each machine has
 * its own; the names are what a trace holds, and they are the same everywhere.
 */
#include "errnos.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the order of strcmp(), which the search by name relies on. */
/* clang-format off */
#define ERRNOS(X) \
	X(E2BIG) X(EACCES) X(EADDRINUSE) X(EADDRNOTAVAIL) X(EADV) X(EAFNOSUPPORT) X(EAGAIN) \
	X(EALREADY) X(EBADE) X(EBADF) X(EBADFD) X(EBADMSG) X(EBADR) X(EBADRQC) X(EBADSLT) \
	X(EBFONT) X(EBUSY) X(ECANCELED) X(ECHILD) X(ECHRNG) X(ECOMM) X(ECONNABORTED) \
	X(ECONNREFUSED) X(ECONNRESET) X(EDEADLK) X(EDESTADDRREQ) X(EDOM) X(EDOTDOT) X(EDQUOT) \
	X(EEXIST) X(EFAULT) X(EFBIG) X(EHOSTDOWN) X(EHOSTUNREACH) X(EHWPOISON) X(EIDRM) \
	X(EILSEQ) X(EINPROGRESS) X(EINTR) X(EINVAL) X(EIO) X(EISCONN) X(EISDIR) X(EISNAM) \
	X(EKEYEXPIRED) X(EKEYREJECTED) X(EKEYREVOKED) X(EL2HLT) X(EL2NSYNC) X(EL3HLT) \
	X(EL3RST) X(ELIBACC) X(ELIBBAD) X(ELIBEXEC) X(ELIBMAX) X(ELIBSCN) X(ELNRNG) X(ELOOP) \
	X(EMEDIUMTYPE) X(EMFILE) X(EMLINK) X(EMSGSIZE) X(EMULTIHOP) X(ENAMETOOLONG) X(ENAVAIL) \
	X(ENETDOWN) X(ENETRESET) X(ENETUNREACH) X(ENFILE) X(ENOANO) X(ENOBUFS) X(ENOCSI) \
	X(ENODATA) X(ENODEV) X(ENOENT) X(ENOEXEC) X(ENOKEY) X(ENOLCK) X(ENOLINK) X(ENOMEDIUM) \
	X(ENOMEM) X(ENOMSG) X(ENONET) X(ENOPKG) X(ENOPROTOOPT) X(ENOSPC) X(ENOSR) X(ENOSTR) \
	X(ENOSYS) X(ENOTBLK) X(ENOTCONN) X(ENOTDIR) X(ENOTEMPTY) X(ENOTNAM) X(ENOTRECOVERABLE) \
	X(ENOTSOCK) X(ENOTTY) X(ENOTUNIQ) X(ENXIO) X(EOPNOTSUPP) X(EOVERFLOW) X(EOWNERDEAD) \
	X(EPERM) X(EPFNOSUPPORT) X(EPIPE) X(EPROTO) X(EPROTONOSUPPORT) X(EPROTOTYPE) X(ERANGE) \
	X(EREMCHG) X(EREMOTE) X(EREMOTEIO) X(ERESTART) X(ERFKILL) X(EROFS) X(ESHUTDOWN) \
	X(ESOCKTNOSUPPORT) X(ESPIPE) X(ESRCH) X(ESRMNT) X(ESTALE) X(ESTRPIPE) X(ETIME) \
	X(ETIMEDOUT) X(ETOOMANYREFS) X(ETXTBSY) X(EUCLEAN) X(EUNATCH) X(EUSERS) X(EXDEV) \
	X(EXFULL)
/* clang-format on */

struct errno_row {
	const char *name;
	int number;
};

#define ROW(error) { #error, error },
static const struct errno_row by_name[] = { ERRNOS(ROW) };

#define NAME(error) [error] = #error,
static const char *const by_number[] = { ERRNOS(NAME) };

struct slice {
	const char *text;
	size_t length;
};

const char *errno_name(int number)
{
	if (number <= 0 || (size_t)number >= sizeof(by_number) / sizeof(by_number[0]))
		return NULL;
	return by_number[number];
}

static int compare(const void *key, const void *element)
{
	const struct slice *name = key;
	const struct errno_row *row = element;
	int order = strncmp(name->text, row->name, name->length);

	/* A proper prefix of the row's name sorts before it. */
	return order ? order : -(row->name[name->length] != 0);
}

int errno_by_name(const char *name, size_t length_bytes)
{
	const struct slice key = { name, length_bytes };
	const struct errno_row *row;

	if (!length_bytes || memchr(name, 0, length_bytes))
		return 0;
	row = bsearch(&key, by_name, sizeof(by_name) / sizeof(by_name[0]), sizeof(by_name[0]),
		      compare);
	return row ? row->number : 0;
}
