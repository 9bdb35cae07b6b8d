// libcsflow from C# by P/Invoke: `mono Csflow.exe BUNDLE DEVICE WIDTH HEIGHT FILE` for a file of raw RGB rows, or
// `mono Csflow.exe --layout`. The loader must find libcsflow.so: LD_LIBRARY_PATH, or a folder of the system.
using System;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

[StructLayout(LayoutKind.Sequential)]
struct csflow_options {
    public uint struct_size, api_version;
    public int max_width, max_height;
    public IntPtr device, library, cache;
    public uint unverified, worker_deadline_ms, any_size, reserved;
}

[StructLayout(LayoutKind.Sequential)]
struct csflow_image {
    public uint struct_size;
    public int format, width, height;
    public long row_stride;
    public IntPtr data, chroma;
    public long chroma_stride, captured_ns;
    public ulong frame_id;
}

[StructLayout(LayoutKind.Sequential)]
struct csflow_result {
    public uint struct_size;
    public int status;
    public ulong frame_id;
    public int verdict;
    public ushort verdict_code, reason;
    public double score, warn_threshold, reject_threshold, p_value;
    public int peak_x, peak_y;
    public long latency_ns;
    public uint verified, reserved;
}

static class Csflow {
    const ushort CodeOk = 0x5AA5;

    [DllImport("libcsflow.so", CallingConvention = CallingConvention.Cdecl)]
    static extern int csflow_open(out ulong detector, byte[] bundle, ref csflow_options options);
    [DllImport("libcsflow.so", CallingConvention = CallingConvention.Cdecl)]
    static extern int csflow_detect(ulong detector, ref csflow_image image, ref csflow_result result);
    [DllImport("libcsflow.so", CallingConvention = CallingConvention.Cdecl)]
    static extern int csflow_close(ulong detector);
    [DllImport("libcsflow.so", CallingConvention = CallingConvention.Cdecl)]
    static extern UIntPtr csflow_last_error(ulong detector, byte[] text, UIntPtr size);

    static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }

    static void Check(int status, ulong detector) {
        if (status < 0) {
            var text = new byte[512];
            csflow_last_error(detector, text, (UIntPtr)text.Length);
            throw new InvalidOperationException(Encoding.UTF8.GetString(text).TrimEnd('\0'));
        }
    }

    static ulong Open(string bundle, string device) {
        var name = GCHandle.Alloc(Utf8(device), GCHandleType.Pinned);
        try {
            var options = new csflow_options { struct_size = (uint)Marshal.SizeOf(typeof(csflow_options)),
                                               api_version = 1, device = name.AddrOfPinnedObject() };
            ulong detector;
            Check(csflow_open(out detector, Utf8(bundle), ref options), 0);
            return detector;
        } finally {
            name.Free();
        }
    }

    // The pixels are pinned for as long as the library reads them.
    static csflow_result Detect(ulong detector, byte[] rgb, int width, int height) {
        var pixels = GCHandle.Alloc(rgb, GCHandleType.Pinned);
        try {
            var image = new csflow_image { struct_size = (uint)Marshal.SizeOf(typeof(csflow_image)), format = 1,
                                           width = width, height = height, row_stride = 3L * width,
                                           data = pixels.AddrOfPinnedObject() };
            var result = new csflow_result { struct_size = (uint)Marshal.SizeOf(typeof(csflow_result)) };
            Check(csflow_detect(detector, ref image, ref result), detector);
            return result;
        } finally {
            pixels.Free();
        }
    }

    static void PrintLayout() {
        foreach (var type in new[] { typeof(csflow_options), typeof(csflow_image), typeof(csflow_result) }) {
            foreach (FieldInfo field in type.GetFields()) {
                Console.WriteLine("{0}.{1} {2} {3}", type.Name, field.Name, Marshal.OffsetOf(type, field.Name),
                                  Marshal.SizeOf(field.FieldType));
            }
        }
    }

    static int Main(string[] words) {
        if (words.Length == 1 && words[0] == "--layout") {
            PrintLayout();
            return 0;
        }
        int width = int.Parse(words[2]), height = int.Parse(words[3]);
        byte[] rgb = File.ReadAllBytes(words[4]);
        if (rgb.Length < 3L * width * height) {
            throw new InvalidOperationException(words[4] + " is too short for that many pixels");
        }
        ulong detector = Open(words[0], words[1]);
        csflow_result result = Detect(detector, rgb, width, height);
        Check(csflow_close(detector), 0);
        Console.WriteLine("{0} {1:R}", result.verdict_code == CodeOk ? "accept" : "reject", result.score);
        return 0;
    }
}
