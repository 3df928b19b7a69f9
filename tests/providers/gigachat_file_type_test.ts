import { assertEquals } from "@std/assert";
import { type FileType, fileTypeOf } from "../../providers/gigachat/file_type.ts";
import { bytesOf, textBytes } from "../support/files.ts";

const utf16 = (text: string) => [...text].map((character) => `${character}\0`).join("");
const ole = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
const ftyp = (brand: string) => `\0\0\0\x18ftyp${brand}\0\0\0\0`;
const zip = (name: string) => `PK\x03\x04${"\0".repeat(26)}${name}`;

Deno.test("fileTypeOf finds each format that GigaChat reads", () => {
  const files: Record<string, string> = {
    "\xff\xd8\xff\xe0": "jpg",
    "\x89PNG\r\n\x1a\n": "png",
    "II*\0": "tiff",
    "MM\0*": "tiff",
    [`BM\x1e\0\0\0\0\0\0\0${"\0".repeat(20)}`]: "bmp",
    "ID3\x04": "mp3",
    "\xff\xfb\x90\0": "mp3",
    "\xff\xf3\x40\0": "mp3",
    [ftyp("isom")]: "mp4",
    [ftyp("mp42")]: "mp4",
    [ftyp("M4A ")]: "m4a",
    "RIFF\0\0\0\0WAVEfmt ": "wav",
    "\x1aE\xdf\xa3": "weba",
    [`OggS${"\0".repeat(24)}\x01vorbis`]: "ogg",
    [`OggS${"\0".repeat(24)}OpusHead`]: "opus",
    "%PDF-1.7\n": "pdf",
    [`${ole}${utf16("WordDocument")}`]: "doc",
    [`${ole}${utf16("PowerPoint Document")}`]: "ppt",
    [zip("[Content_Types].xml word/document.xml")]: "docx",
    [zip("[Content_Types].xml ppt/presentation.xml")]: "pptx",
    [zip("[Content_Types].xml xl/workbook.xml")]: "xlsx",
    [zip("mimetypeapplication/epub+zip")]: "epub",
    "a,b\n1,2\n": "txt",
    "BMW is a car": "txt",
    "<html><svg></svg></html>": "txt",
  };
  for (const [file, extension] of Object.entries(files)) {
    assertEquals((fileTypeOf(bytesOf(file)) as FileType).extension, extension, file);
  }
  assertEquals((fileTypeOf(textBytes("Привет")) as FileType).extension, "txt");
});

Deno.test("fileTypeOf names the formats that GigaChat lacks", () => {
  const files: Record<string, string> = {
    "GIF89a": "a GIF",
    "RIFF\0\0\0\0WEBPVP8 ": "a WebP image",
    "RIFF\0\0\0\0AVI ": "an AVI",
    [ftyp("heic")]: "a HEIC image",
    [ftyp("mif1")]: "a HEIC image",
    [ftyp("avif")]: "an AVIF image",
    "\xff\x0a": "a JPEG XL image",
    "\0\0\x01\0\x01\0": "an icon",
    "8BPS": "a Photoshop file",
    "fLaC": "a FLAC",
    "<svg xmlns='http://www.w3.org/2000/svg'>": "an SVG",
    " <?xml version='1.0'?>\n<!-- made by hand -->\n<svg>": "an SVG",
    [`${ole}${utf16("Workbook")}`]: "an XLS",
    [zip("payload.exe")]: "a ZIP archive",
    "": "of a format that is not known",
    "MZ\0\x01": "of a format that is not known",
    "\xcf\xf0\xe8\xe2\xe5\xf2": "of a format that is not known",
  };
  for (const [file, name] of Object.entries(files)) {
    assertEquals(fileTypeOf(bytesOf(file)), name, file);
  }
});
