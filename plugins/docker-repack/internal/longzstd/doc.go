// Package longzstd compresses streams of hundreds of megabytes that repeat themselves
// over long distances, in the format of RFC 8878. What it writes, any decoder of that
// format reads that allows for the window.
//
// Image layers are such streams: programs that share most of their code, trees that
// were copied with another owner, archives beside what they were made of. An encoder
// with one table for all finds that only as far back as the table remembers, which is
// a megabyte or so. So there are two finders:
//
//   - far, for matches of 64 bytes and more anywhere in the window. It remembers one
//     place of 64 or so, chosen by the content, which is few enough to remember all.
//   - near or deep, for what lies between those: near takes what two tables have, deep
//     compares a dozen candidates for each place.
//
// Beyond the window, a caller that knows of a copy can say so ([Writer.Repeat]).
//
// What the finders make of a stretch of 128 KiB, literals and sequences, an encoder cuts into
// blocks, where the content changes, and turns into bytes: literals by Huffman codes (package
// huff0), sequences by finite state entropy. The two finders and the encoder run side by side,
// on neighbouring stretches.
//
// The output depends on what is written, on the calls of Flush and Repeat, and on the
// [Options], and on nothing else: not on the sizes of writes, nor on the machine.
package longzstd
